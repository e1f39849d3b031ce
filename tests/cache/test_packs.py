"""A pack says what was packed and nothing else; one changed byte shows; nothing secret gets into one."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace

import pytest

from qwennb import Pack
from qwennb.answer import Usage
from qwennb.cache import Name, record_of
from qwennb.cache.pack_file import SEAL, zstd
from qwennb.config import Secret
from qwennb.errors import PackRefused
from qwennb.request import NOTHING, Message, Request, Text
from qwennb.simulator import Reply
from tests.answers import answer_of, answers

TRIALS = 1_000


@pytest.fixture
def pack():
    return Pack.of(answers(12))


def test_every_answer_comes_back_as_it_was(tmp_path, pack):
    pack.write(tmp_path / "a.qwenpack")
    given = {answer.key: answer for answer in answers(12)}
    back = list(Pack.read(tmp_path / "a.qwenpack"))
    assert [answer.key for answer in back] == sorted(given) and len(back) == 12
    for answer in back:
        assert answer.to_json() == given[answer.key].to_json()
        assert answer.request.canonical() == given[answer.key].request.canonical()
    assert {answer.data for answer in back if answer.request.choices} == {"yes"}
    assert {answer.data["item"] for answer in back if answer.request.schema} == {"tea"}


@pytest.mark.parametrize("name", ["a.qwenpack", "a.qwenpack.zst"])
def test_the_same_content_is_the_same_bytes_whatever_the_order(tmp_path, name):
    (tmp_path / "other").mkdir()
    shuffled = answers(30)
    random.Random(5).shuffle(shuffled)
    one, other = Pack.of(answers(30)), Pack.of(shuffled)
    one.write(tmp_path / name)
    other.write(tmp_path / "other" / name)
    assert (tmp_path / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert one == other and one.root == other.root and hash(one) == hash(other)
    again = Pack.read(tmp_path / name)
    assert again == one
    again.write(tmp_path / "other" / name)
    assert (tmp_path / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_what_a_store_holds_and_what_was_answered_make_the_same_pack(pack):
    assert Pack.of_records({Name(a.key, a.endpoint): record_of(a) for a in answers(12)}) == pack


def test_one_answer_a_line_each_under_its_seal_between_a_header_and_an_end(tmp_path, pack):
    pack.write(tmp_path / "a.qwenpack")
    header, *lines, end = [
        json.loads(line) for line in (tmp_path / "a.qwenpack").read_text("utf-8").split("\n")[:-1]
    ]
    defaults = {"model": "qwen3.5-plus", "endpoint": "dashscope-intl"}
    spelled = json.dumps(
        {"qwennb_pack": 2, "needs": "qwennb 0.2", "defaults": defaults}, separators=(",", ":")
    )
    assert header == {**json.loads(spelled), "seal": hashlib.sha256(spelled.encode()).hexdigest()[:32]}
    assert [line["key"] for line in lines] == sorted(answer.key for answer in answers(12))
    assert all(list(line) == ["key", "seal", "request", "answer"] for line in lines)
    assert end == {"qwennb_pack": "end"}


def test_failed_and_partial_answers_are_left_out():
    whole = answer_of(0)
    cut = answer_of(6, finish_reason="length")
    failed = answer_of(12, error=PackRefused("no"), finish_reason="error")
    assert [answer.key for answer in Pack.of([cut, whole, failed])] == [whole.key]


def cut_answer():
    """An answer that was cut at its request's own limit."""
    whole = answer_of(0)
    request = replace(whole.request, settings=replace(whole.request.settings, max_tokens=5))
    return replace(whole, request=request, finish_reason="length", usage=Usage(input=9, output=5))


@pytest.mark.parametrize("name", ["a.qwenpack", "a.qwenpack.zst"])
def test_a_text_cut_at_its_own_limit_is_packed_and_the_pack_says_who_reads_it(tmp_path, name):
    pack = Pack.of([cut_answer(), answer_of(6)])
    pack.write(tmp_path / name)
    header = json.loads(next(pack.lines()))
    assert header["qwennb_pack"] == 2 and header["needs"] == "qwennb 0.2", "0.1 reads no cut text"
    again = Pack.read(tmp_path / name)
    assert again == pack and [a.finish_reason for a in again if a.is_cut] == ["length"]


def test_of_two_answers_to_one_request_the_later_stands():
    assert [a.text for a in Pack.of([answer_of(0, "old"), answer_of(0, "new")])] == ["new"]
    assert [a.text for a in Pack.of([answer_of(0, "old")]) | Pack.of([answer_of(0, "new")])] == ["new"]


def test_the_answers_of_two_endpoints_to_one_request_stand_side_by_side(tmp_path):
    both = Pack.of([answer_of(0, "one"), answer_of(0, "two", endpoint="vllm:Qwen/Qwen3.5-9B")])
    both.write(tmp_path / "a.qwenpack")
    assert [a.text for a in Pack.read(tmp_path / "a.qwenpack")] == ["one", "two"]


def test_an_empty_pack_is_a_pack(tmp_path):
    Pack().write(tmp_path / "a.qwenpack")
    assert len(Pack.read(tmp_path / "a.qwenpack")) == 0 and Pack().frame().is_empty()


def test_a_pack_is_a_table(pack):
    frame = pack.frame()
    assert frame.height == 12 and frame["key"].to_list() == sorted(a.key for a in answers(12))
    assert frame["cost"].null_count() == 2 and frame["output_tokens"].sum() == 60
    assert json.loads(frame["request"][0])["model"] == "qwen3.5-plus"
    assert frame.schema == Pack().frame().schema


# ---------------------------------------------------------------------- one changed byte


@pytest.mark.parametrize("name", ["a.qwenpack", "a.qwenpack.zst"])
@pytest.mark.slow
def test_a_tampered_byte_is_found_in_1000_of_1000_trials(tmp_path, name):
    path, draw = tmp_path / name, random.Random(7)
    Pack.of(answers(4)).write(path)
    whole = path.read_bytes()
    found = 0
    for _ in range(TRIALS):
        at = draw.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ draw.randrange(1, 256)]) + whole[at + 1 :])
        try:
            Pack.read(path)
        except PackRefused:
            found += 1
    assert found == TRIALS
    path.write_bytes(whole)
    assert len(Pack.read(path)) == 4


@pytest.mark.parametrize("name", ["a.qwenpack", "a.qwenpack.zst"])
def test_a_file_that_was_cut_off_is_refused(tmp_path, name):
    path = tmp_path / name
    Pack.of(answers(4)).write(path)
    whole = path.read_bytes()
    # Without its seal a compressed pack is as other tools write one: its content is whole.
    for length in {*range(0, len(whole), 97), len(whole) - 1} - {len(whole) - 40}:
        path.write_bytes(whole[:length])
        with pytest.raises(PackRefused):
            Pack.read(path)


def test_a_compressed_pack_carries_a_seal_over_its_bytes(tmp_path, pack):
    pack.write(tmp_path / "a.qwenpack.zst")
    whole = (tmp_path / "a.qwenpack.zst").read_bytes()
    assert whole[-40:] == SEAL + hashlib.sha256(whole[:-40]).digest()
    assert zstd.decompress(whole) == b"".join(line + b"\n" for line in pack.lines())  # others pass over it


def test_a_pack_that_another_tool_has_compressed_is_read(tmp_path, pack):
    from qwennb.cache.pack_file import zstd

    (tmp_path / "a.qwenpack.zst").write_bytes(zstd.compress(b"".join(line + b"\n" for line in pack.lines())))
    assert Pack.read(tmp_path / "a.qwenpack.zst") == pack


# ---------------------------------------------------------------------- writing


def test_a_pack_that_can_not_be_written_leaves_the_old_one(tmp_path, pack):
    path = tmp_path / "a.qwenpack"
    pack.write(path)
    before = path.read_bytes()
    with pytest.raises(PackRefused):
        Pack.of([answer_of(0, "hf_" + "a1B2" * 10)]).write(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.qwenpack"]
    with pytest.raises(PackRefused, match=r"can't be written"):
        pack.write(tmp_path / "nowhere" / "a.qwenpack")


def test_an_answer_longer_than_a_line_may_be_is_refused_on_the_way_out(tmp_path):
    with pytest.raises(PackRefused, match=r"longer than a pack's line may be"):
        Pack.of([answer_of(0, "x" * 9_000_000)]).write(tmp_path / "a.qwenpack")


# ---------------------------------------------------------------------- secrets

SECRETS = {
    "an API key": "sk-or-v1-0123456789abcdef0123456789abcdef",
    "an AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "an Alibaba Cloud access key": "LTAI5t" + "7Hd83kJd92kdLS82",
    "a GitHub token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "a GitLab token": "glpat-" + "Kj83hs8HJ2ks92ksJ2ls",
    "a Hugging Face token": "hf_" + "aJ83hs8HJ2ks92ksJ2lsaJ83hs8HJ2ks92",
    "an npm token": "npm_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "a Slack token": "xoxb-" + "123456789012-abcdefGHIJKL",
    "a Google API key": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "a Stripe key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("where", ["answer", "request"])
def test_what_looks_like_a_secret_stops_the_writing_and_is_not_shown(tmp_path, kind, where):
    secret = SECRETS[kind]
    told = f"It is {secret}, as you see."
    if where == "answer":
        holds = answer_of(0, told)
    else:
        holds = answer_of(0)
        request = Request("qwen3.5-plus", (Message("user", (Text(told),)),))
        holds = type(holds)(request, "ok", endpoint="dashscope-intl")
    with pytest.raises(PackRefused) as refused:
        Pack.of([answer_of(6), holds]).write(tmp_path / "a.qwenpack", environ={})
    assert kind in str(refused.value) and holds.key[:12] in str(refused.value)
    assert secret not in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "task-management-system-overview-document", "The word sk-learn is short for scikit-learn.", "risk-0-assessment-in-banks",
        "AKIAN is a village", "eyJ is how they begin", "hf_hub_download(repo_id=…)", "ghp_ and hf_ are prefixes", "xoxo-love",
    ],
)  # fmt: skip
def test_ordinary_text_is_no_secret(tmp_path, text):
    Pack.of([answer_of(0, text)]).write(tmp_path / "a.qwenpack", environ={})
    assert len(Pack.read(tmp_path / "a.qwenpack")) == 1


@pytest.mark.parametrize("value", ["correct-horse-battery", 'quo"ted\\key', "a/b+c=d&e f"[:9] + "ü"])
def test_the_value_of_a_key_in_the_environment_is_never_written(tmp_path, value):
    holds = Pack.of([answer_of(0, f"The password is {value}!")])
    with pytest.raises(PackRefused, match=r"holds the value of MY_SERVICE_TOKEN") as refused:
        holds.write(tmp_path / "a.qwenpack", environ={"MY_SERVICE_TOKEN": value}, allow=[answer_of(0).key])
    assert value not in str(refused.value) and not list(tmp_path.iterdir())


def test_switches_paths_and_short_words_under_such_names_are_no_secrets(tmp_path):
    environ = {
        "TOKENIZERS_PARALLELISM": "parallel", "SSH_AUTH_SOCK": "/tmp/ssh/agent.1", "USE_AUTH": "yes", "KEYBOARD": "qwertz-layout",
    }  # fmt: skip
    said = " ".join(environ.values())
    Pack.of([answer_of(0, said)]).write(tmp_path / "a.qwenpack", environ=environ)


def test_a_key_that_is_in_use_is_never_written(tmp_path):
    key = Secret("plain-words-as-a-key")
    with pytest.raises(PackRefused, match=r"a key in use") as refused:
        Pack.of([answer_of(0, "It was plain-words-as-a-key.")]).write(tmp_path / "a.qwenpack", environ={})
    assert key.reveal() not in str(refused.value)


def test_what_only_looks_like_a_secret_may_be_let_through_by_its_key(tmp_path):
    holds = answer_of(0, SECRETS["an AWS access key"])
    with pytest.raises(PackRefused):
        Pack.of([holds]).write(
            tmp_path / "a.qwenpack", environ={}, allow=[holds.key[:6]]
        )  # too short to mean one
    Pack.of([holds]).write(tmp_path / "a.qwenpack", environ={}, allow=[holds.key[:12]])
    assert len(Pack.read(tmp_path / "a.qwenpack")) == 1


# ---------------------------------------------------------------------- from a run


def test_the_answers_and_frames_of_a_run_make_a_pack(simulate, client):
    import pandas as pd
    import polars as pl

    import qwennb

    qwen = client(simulate())
    frame = pl.DataFrame({"n": [1, 2, 3, 2, None]})
    made = frame.qwen.ask("Say {{ n }}", client=qwen, meta=True)
    theirs = qwennb.ask(pd.DataFrame({"n": [7, 8]}), "Say {{ n }}", client=qwen, meta=True)
    one, many = qwen.ask("one"), qwen.ask_many(["two", "three"])
    qwen.ask("not in the run")
    pack = qwen.pack(made, theirs, one, many)
    assert sorted(answer.request.question for answer in pack) == [
        "Say 1", "Say 2", "Say 3", "Say 7", "Say 8", "one", "three", "two",
    ]  # fmt: skip
    assert len(qwen.pack(made, made)) == 3
    for nothing in (frame, made.lazy(), "text", [1, 2], 5):
        with pytest.raises(ValueError, match=r"nothing to pack|no column|is lazy"):
            qwen.pack(nothing)


def test_a_pack_has_what_the_labels_of_each_column_and_endpoint_were_read_beside(simulate, client):
    import polars as pl

    say = Reply("praise", likely={"praise": 0.7, "complaint": 0.3})
    clients = [client(simulate(kind, script=lambda _: say)) for kind in ("vllm", "sglang")]
    frame = pl.DataFrame({"text": ["I love it", "It broke"]})
    made = [
        frame.qwen.classify("text", labels, client=qwen, meta=True)
        for labels in (["praise", "complaint"], ["praise", "complaint", "neither"])
        for qwen in clients
    ]
    assert len(clients[0].pack(*made)) == 4 * (len(frame) + len(NOTHING))
