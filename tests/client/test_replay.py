"""With a pack, or in replay, everything comes from what was recorded: no key, no network, and the same to the byte."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import polars as pl
import pytest

from qwennb import Pack, Qwen
from qwennb.answer import Answer
from qwennb.cache import Memory, Name, Store
from qwennb.client import Options, runtime
from qwennb.endpoints import PORTS
from qwennb.errors import InvalidAnswer, NotRecorded
from qwennb.request import Image, Message, Request, Text
from qwennb.testing import no_network, replaying
from tests.answers import PICTURE, answer_of


def look_up(city: str) -> str:
    """The river of a city."""
    return {"Ulm": "Danube"}.get(city, "none")


def work(qwen: Qwen) -> list[str]:
    """Everything that can be asked, as it shows itself."""
    frame = pl.DataFrame({"review": ["good", "bad", "good", None]})
    chat = qwen.chat(system="Be short.", tools=[look_up])
    chat.ask("Which river is Ulm on?")
    stream = qwen.stream("Stream {{ x }}", x="this")
    body = {"model": "flash", "messages": [{"role": "user", "content": "By the door"}]}
    return [
        repr(qwen.ask("Why?", temperature=0.5)),
        repr(qwen.ask("How old is Bob?", schema="age int").data),
        "".join(piece.text for piece in stream) + stream.answer.key,
        repr(qwen.ask_many(["one", "two", "one"], model="flash")),
        repr(qwen.ask("What is this?", images=[Image(PICTURE)])),
        chat.to_markdown(),
        str(frame.qwen.classify("review", ["praise", "complaint"], client=qwen, meta=True)),
        str(frame.lazy().qwen.ask("Say {{ review }}", client=qwen).collect()),
        repr(qwen.openai.chat.completions.create(**body).choices[0].message.content),
    ]


@pytest.fixture
def fresh(tmp_path):
    """A runtime without packs, before and after."""
    shared_runtime = runtime()
    shared_runtime.packs.forget()
    yield shared_runtime
    shared_runtime.packs.forget()


@pytest.fixture
def recorded(simulate, client, tmp_path, fresh):
    """What `work` shows live, and the file of its pack."""
    sim = simulate()
    qwen = client(sim)
    log = fresh.record()
    shown = work(qwen)
    pack = fresh.pack(log.take())
    fresh.stop(log)
    sim.stop()
    pack.write(tmp_path / "work.qwenpack")
    return shown, tmp_path / "work.qwenpack"


def test_all_that_was_asked_replays_to_the_byte_with_no_network(recorded):
    shown, file = recorded
    with replaying(file) as qwen, no_network() as tried:
        assert work(qwen) == shown
        assert work(Qwen()) == shown
        assert tried == []


@pytest.mark.slow
def test_a_pack_has_exactly_what_was_used(recorded, simulate, client, tmp_path, fresh):
    _, file = recorded
    # 1 question, 1 schema, 1 stream, 2 of many, 1 picture, 1 choice of a tool and its answer, 2 + 2 rows, 1 by the door
    assert len(Pack.read(file)) == 12
    with replaying(file) as qwen:
        log = fresh.record()
        qwen.plan("Why?", temperature=0.5)
        assert len(fresh.pack(log.take())) == 0  # planning uses nothing
        work(qwen)
        again = fresh.pack(log.take())
        fresh.stop(log)
    assert again.records == Pack.read(file).records


def test_with_a_pack_loaded_hits_need_no_endpoint_and_a_miss_looks_for_one(recorded, tmp_path, fresh):
    shown, file = recorded
    fresh.load(file)
    qwen = Qwen(cache_dir=tmp_path / "empty", endpoint="dashscope-intl")
    with no_network() as tried:
        assert work(qwen) == shown and tried == []
    with pytest.raises(ValueError, match="DASHSCOPE_API_KEY"):
        qwen.ask("Never asked")


def test_another_endpoint_has_its_own_default_once_the_pack_knows_no_answer(
    recorded, simulate, tmp_path, fresh
):
    shown, file = recorded
    fresh.load(file)
    vllm = simulate("vllm")
    for endpoint in (f"vllm+{vllm.base_url}", vllm.base_url):  # by kind, and by address alone
        qwen = Qwen(endpoint=endpoint, cache_dir=tmp_path / "reader")
        with no_network() as tried:
            assert work(qwen) == shown and tried == []
        answer = qwen.ask(f"Never asked at {endpoint}")
        assert answer.endpoint.startswith("vllm:") and answer.model == qwen.endpoint.model_name(None)
        assert answer.model not in fresh.packs.default and answer.text
        assert qwen.ask(f"Never asked at {endpoint}").cached
        with pytest.raises(
            NotRecorded, match=f"to {fresh.packs.default[0]} "
        ):  # nobody can be asked for his default
            Qwen(endpoint=endpoint, cache="replay", cache_dir=tmp_path / "empty").ask("Never asked anywhere")


def test_a_named_endpoint_means_the_model_that_was_recorded_there(tmp_path, fresh):
    def asked(number: int, model: str, endpoint: str):
        request = Request(model, (Message("user", (Text(f"Why {number}?"),)),))
        return Answer(request, text=model, endpoint=endpoint, created=answer_of(0).created)

    made = [asked(n, "qwen3.5-plus", "dashscope-intl") for n in range(3)]
    made += [asked(1, "qwen3.5-9b", "vllm:Qwen/Qwen3.5-9B"), asked(2, "qwen3.5-flash", "openrouter")]
    Pack.of(made).write(tmp_path / "two.qwenpack")
    fresh.load(tmp_path / "two.qwenpack")
    for mode in ("on", "replay"):
        with no_network() as tried:
            there = {"vllm": "qwen3.5-9b", "http://127.0.0.1:8000/v1": "qwen3.5-9b", None: "qwen3.5-plus"}
            for endpoint, model in there.items():
                client = Qwen(endpoint=endpoint, cache=mode, cache_dir=tmp_path / "empty")
                assert str(client.ask("Why 1?")) == model
            theirs = Qwen(endpoint="https://openrouter.ai/api/v1", cache=mode, cache_dir=tmp_path / "empty")
            assert str(theirs.ask("Why 2?")) == "qwen3.5-flash" and tried == []


READER = """
import json
from tests.client.test_replay import work
from qwennb import Qwen
from qwennb.client import Options
from qwennb.testing import no_network
with no_network() as tried:
    shown = [work(Qwen()), work(Qwen(cache="replay"))]
    windows = {qwen.session.window(qwen.session.build_request("x", {}, Options())) for qwen in (Qwen(), Qwen(cache="replay"))}
print(json.dumps({"shown": shown, "tried": tried, "windows": list(windows)}))
"""


@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-9B", "qwen/qwen3.5-9b:free", "gpt-6", "9b"])
def test_an_id_that_no_server_lists_replays_by_what_was_typed(model, simulate, tmp_path, fresh):
    sim = simulate("llama.cpp")  # takes any
    given = {"endpoint": f"openai+{sim.base_url}", "model": model, "cache_dir": tmp_path / "cache"}
    log = fresh.record()
    answer = Qwen(**given).ask("Why?")
    asked = sim.ledger.last().body["model"]
    fresh.pack(log.take()).write(tmp_path / "one.qwenpack")
    fresh.stop(log)
    assert asked == {"9b": "qwen3.5-9b"}.get(model, model)
    with no_network() as tried:
        assert Qwen(**given, cache="replay").ask("Why?").text == answer.text
        assert Qwen(**given).ask("Why?").cached
        with replaying(tmp_path / "one.qwenpack") as qwen:
            assert qwen.ask("Why?", model=model).text == answer.text
            assert qwen.ask("Why?").text == answer.text
    assert tried == []


@pytest.mark.slow
def test_recorded_on_dashscope_it_replays_with_nothing_another_key_or_a_server(
    simulate, client, tmp_path, fresh
):
    qwen = client(simulate("dashscope"))
    log = fresh.record()
    shown = work(qwen)
    pack = fresh.pack(log.take())
    fresh.stop(log)
    window = qwen.session.window(qwen.session.build_request("x", {}, Options()))
    assert (pack.model, pack.endpoint) == (qwen.endpoint.model_name(None), "dashscope-intl")
    pack.write(tmp_path / "work.qwenpack")
    called = []
    server = _listener(called)
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    plain |= {"QWENNB_PACK": str(tmp_path / "work.qwenpack"), "PYTHONPATH": os.getcwd()}
    readers = {
        "nothing": {},
        "another key": {"OPENROUTER_API_KEY": "sk-or-theirs", "QWENNB_MODEL": "27b"},
        "both": {"DASHSCOPE_API_KEY": "sk-theirs", "QWENNB_ENDPOINT": "vllm"},
    }
    for name, environ in readers.items():
        home = {"HOME": str(tmp_path / name), "QWENNB_CACHE_DIR": str(tmp_path / name / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", READER], env={**plain, **home, **environ}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(done.stdout.splitlines()[-1])
        assert told == {"shown": [shown, shown], "tried": [], "windows": [window]}, name
    if server is not None:
        server.close()
    assert called == []


def _listener(called: list[object]) -> socket.socket | None:
    """A server on a port where one is looked for, if any such port is free; it notes who calls."""
    for port in PORTS:
        try:
            server = socket.create_server(("127.0.0.1", port))
        except OSError:
            continue

        threading.Thread(target=_listen, args=(server, called), daemon=True).start()
        return server
    return None


def _listen(server: socket.socket, called: list[object]) -> None:
    with suppress(OSError):  # it is closed
        while True:
            called.append(server.accept())


# ---------------------------------------------------------------------- layers


@pytest.fixture
def memory(tmp_path):
    made = Memory(Store(tmp_path / "cache"))
    yield made
    made.close()


def kept(memory: Memory, *answers: object) -> None:
    memory.store.put(Pack.of(answers).records.items())


def test_ones_own_answer_wins_and_the_conflict_is_listed(memory):
    own, theirs, same = answer_of(0, "own"), answer_of(0, "theirs"), answer_of(6)
    kept(memory, own, same)
    before = dict(memory.store.items())
    memory.packs.load(Pack.of([theirs, same]), "theirs.qwenpack")
    for mode in ("on", "replay"):
        for identity in ("dashscope-intl", "openrouter", None):
            assert memory.recall(own.request, identity, mode).text == "own"
            assert memory.recall_many([own.request], identity, mode)[0].text == "own"
    [conflict] = memory.conflicts()
    assert (conflict.name.key, conflict.counts, conflict.other) == (own.key, "own", "theirs")
    assert dict(memory.store.items()) == before  # nothing of the pack was taken into the store


def test_the_magic_lists_packs_with_their_roots_and_what_differs_from_ones_own(memory):
    from qwennb.notebook.sharing import describe_loaded

    pack = Pack.of([answer_of(6 * number, "theirs") for number in range(7)])
    memory.packs.load(pack, "/somewhere/theirs.qwenpack")
    told = describe_loaded(memory, "mine.qwenpack").splitlines()
    assert told[0] == f"theirs.qwenpack: 7 answers, root {pack.root}"
    assert told[-1] == "recording into mine.qwenpack" and len(told) == 3
    kept(memory, answer_of(0, "own"), answer_of(6, "theirs"))
    told = describe_loaded(memory, None).splitlines()
    assert told[2:] == [f"  {answer_of(0).key[:12]}: your own answer counts, the pack's is another"]
    kept(memory, *[answer_of(6 * number, "own") for number in range(7)])
    assert describe_loaded(memory, None).splitlines()[-1] == "  … and 2 more that differ from your own"


def test_when_it_was_asked_makes_no_conflict(memory):
    kept(memory, answer_of(0, "same", attempts=2))
    memory.packs.load(Pack.of([answer_of(0, "same")]))
    assert memory.conflicts() == []


def test_what_two_packs_say_of_one_request_is_a_conflict_and_the_first_counts(memory):
    memory.packs.load(Pack.of([answer_of(0, "first")]), "a")
    memory.packs.load(Pack.of([answer_of(0, "second")]), "b")
    assert memory.recall(answer_of(0).request, None, "replay").text == "first"
    assert [(c.counts, c.other, c.file) for c in memory.conflicts()] == [("first", "second", "b")]


def test_a_named_endpoint_is_preferred_and_else_the_packs_answer_comes_first(memory):
    asked = answer_of(0).request
    kept(memory, answer_of(0, "another's", endpoint="aaa"))
    memory.packs.load(
        Pack.of([answer_of(0, "a", endpoint="dashscope"), answer_of(0, "b", endpoint="vllm:q")])
    )
    assert memory.recall(asked, None, "replay").text == "a"
    assert memory.recall(asked, "vllm", "replay").text == "b"
    assert memory.recall(asked, "vllm:q", "on").text == "b"
    assert memory.recall(asked, "aaa", "on").text == "another's"
    assert memory.recall(asked, "openrouter", "on").text == "a"
    assert memory.recall(asked, "openrouter", "refresh") is None
    assert memory.recall(asked, "openrouter", "off") is None


def test_without_a_pack_another_endpoints_answer_is_no_hit(memory):
    kept(memory, answer_of(0))
    assert memory.recall(answer_of(0).request, "openrouter", "on") is None
    assert memory.recall(answer_of(0).request, "dashscope-intl", "on").text == answer_of(0).text


def test_only_what_was_recalled_or_kept_counts_as_used(memory):
    kept(memory, answer_of(0), answer_of(6))
    memory.packs.load(Pack.of([answer_of(12)]))
    assert memory.look_up([answer_of(6).key], None, "replay")
    assert memory.recall(answer_of(18).request, "dashscope-intl", "on") is None
    memory.recall(answer_of(0).request, "dashscope-intl", "on")
    memory.recall_many([answer_of(12).request], None, "on")
    [used] = memory.used.by_folder().values()
    assert {name.key for name in used} == {answer_of(0).key, answer_of(12).key}
    assert memory.used.count == 2


@pytest.mark.slow
def test_a_pack_has_the_answer_of_the_folder_it_was_used_from(simulate, client, tmp_path, fresh):
    sim = simulate()
    first, second = (client(sim, cache_dir=tmp_path / name) for name in ("first", "second"))
    sim.script(lambda asked: "old")
    assert first.ask("Say one").text == "old"
    sim.script(lambda asked: "new")
    assert second.ask("Say one").text == "new"
    for qwen, text in ((second, "new"), (first, "old"), (second, "new")):
        log = fresh.record()
        key = qwen.ask("Say one").key
        for pack in (fresh.pack(log.take()), fresh.pack()):
            assert [answer.text for answer in pack.answers() if answer.key == key] == [text]


@pytest.mark.slow
def test_what_a_full_log_has_no_room_for_is_packed_all_the_same(simulate, client, fresh):
    memory = client(simulate()).session.memory
    kept(memory, answer_of(0))  # as if it had been used when no name more could be noted
    name = Name(answer_of(0).key, answer_of(0).endpoint)
    assert memory.used.by_folder([name]) == {}
    assert list(fresh.pack([name]).records) == [name]


def test_what_is_new_is_taken_once_and_again_when_it_was_asked_anew(simulate, client, fresh):
    qwen, log = client(simulate()), fresh.record()
    qwen.ask("Why?")
    assert len(log.take()) == 1
    qwen.ask("Why?")
    assert log.take() == []
    qwen.ask("Why?", cache="refresh")
    assert len(log.take()) == 1
    qwen.ask("Why?", cache="off")
    assert log.take() == []
    fresh.stop(log)
    qwen.ask("How?")
    assert log.take() == []


# ---------------------------------------------------------------------- misses


@pytest.mark.parametrize(
    ("prompt", "options", "told"),
    [
        ("Is it about food?", {"temperature": 0.7}, r"temperature is 0\.2 there and 0\.7 here"),
        ("Is it about food?", {}, r"temperature is 0\.2 there and left alone here"),
        ("Is it about food?", {"temperature": 0.2, "seed": 1}, r"seed is left alone there and 1 here"),
        ("Is it about foot?", {"temperature": 0.2}, r"the question says '.*food\?' where this says '.*foot\?' \(character 16\)"),
        ("Is it about food?", {"temperature": 0.2, "model": "plus"}, r"model is qwen3\.5-flash there and qwen3\.5-plus here"),
        ("Is it about food?", {"temperature": 0.2, "schema": "a int"}, "it has no schema"),
        ("Is it about food?", {"temperature": 0.2, "tools": [look_up]}, "its tools are none, these are look_up"),
        ("Is it about food?", {"temperature": 0.2, "system": "Be short."}, "it has 1 messages, this has 2"),
        ("Something else entirely, which is not near to anything", {"model": "9b", "top_k": 3, "seed": 4}, None),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_miss_says_what_differs_from_the_nearest_and_what_records_it(
    simulate, client, fresh, prompt, options, told
):
    qwen = client(simulate(), model="flash")
    qwen.ask("Is it about food?", temperature=0.2)
    for packed in (False, True):
        if packed:
            fresh.packs.load(fresh.pack())
        with no_network(), pytest.raises(NotRecorded, match=told or r"'\)\. To record it") as missed:
            qwen.ask(prompt, cache="replay", **options)
        assert 'ask once with cache="on"' in str(missed.value)
        assert ("The nearest recorded request" in str(missed.value)) == (told is not None)


def test_a_picture_that_is_drawn_otherwise_is_told_as_that(simulate, client):
    from PIL import Image as Pillow

    qwen = client(simulate())
    one, other = Pillow.new("RGB", (4, 4)), Pillow.new("RGB", (4, 5))
    qwen.ask("What is it?", images=[one])
    with pytest.raises(
        NotRecorded, match=r"the picture is another \(sha256 \w{12} there, \w{12} here; a figure that another"
    ):
        qwen.ask("What is it?", images=[other], cache="replay")


def test_a_row_that_is_missed_is_named_without_its_text(simulate, client):
    qwen, secret = client(simulate()), "Mrs Smith from Ulm is ill"
    known = pl.DataFrame({"mail": ["a first mail", "and a second"]})
    asked = pl.DataFrame({"mail": ["a first mail", "and a second", secret]})
    known.qwen.ask("Summarise: {{ mail }}", client=qwen)
    with pytest.raises(NotRecorded) as missed:
        asked.qwen.ask("Summarise: {{ mail }}", client=qwen, cache="replay", on_error="raise")
    said = str(missed.value)
    assert "(row 2)" in said and "differs from character 12 on" in said and "run the column once" in said
    assert "Smith" not in said
    with pytest.warns(match=r"\(row 2\)"):
        made = asked.qwen.ask("Summarise: {{ mail }}", client=qwen, cache="replay")
    assert made["answer"].null_count() == 1


def test_a_recorded_answer_that_no_longer_fits_is_an_error_in_replay_from_a_pack_too(memory):
    from qwennb.request import Request, Schema

    asked = answer_of(1)
    memory.packs.load(Pack.of([answer_of(1)]))
    stricter = Request(
        asked.request.model,
        asked.request.messages,
        asked.request.settings,
        schema=Schema(asked.request.schema.text, target=int),
    )
    assert stricter.key == asked.key
    with pytest.raises(InvalidAnswer, match="no longer fits"):
        memory.recall(stricter, None, "replay")
    assert memory.recall(stricter, None, "on") is None
