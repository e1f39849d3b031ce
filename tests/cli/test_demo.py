"""The demo asks, shows what came, and shows that the second time costs nothing."""

from __future__ import annotations


def test_each_question_is_asked_once_and_recalled_once(run, simulate):
    sim = simulate("vllm")
    ran = run("demo", "-e", f"vllm+{sim.base_url}")
    assert ran.code == 0, ran.err
    assert sim.ledger.count("asked") == 3
    assert ran.out.count("first: asked, ") == ran.out.count("again: from memory in ") == 3
    assert "simulator" not in ran.out
    again = run("demo", "-e", f"vllm+{sim.base_url}")
    assert again.out.count("from memory") == 6 and sim.ledger.count("asked") == 3


def test_the_simulators_answers_are_said_to_be_no_models(run):
    ran = run("demo", "--endpoint", "simulator")
    assert ran.code == 0 and "no model's" in ran.out


def test_an_endpoint_that_does_not_answer_is_a_failure_with_its_sentence(run, simulate):
    sim = simulate("vllm")
    sim.stop()
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "-m", "9b")
    assert ran.code == 1 and "can't be reached" in ran.err


def test_in_replay_it_does_not_ask(run):
    ran = run("demo", environ={"QWENNB_CACHE": "replay"})
    assert ran.code == 2 and "QWENNB_CACHE=on" in ran.err
