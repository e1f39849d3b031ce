"""A recorded request is written for other tools, and what these send is what we send."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwennb import Image, Qwen, Video
from qwennb.answer import Answer
from qwennb.cache import Pack, PackMedia
from qwennb.catalog import Catalog
from qwennb.client.runtime import runtime
from qwennb.endpoints import FORMS, recorded_endpoint, write_export
from qwennb.request import Message, Request, Settings, Text
from qwennb.simulator import Simulator

KEY = "sk-canary-51d0e7a3c2"
HOSTILE = (
    "'single' \"double\" `tick` $HOME ${HOME} $(id) \\ \\n \\u007b %s %PATH% !! {{QWENNB_API_KEY}} {{{three}}} {{{{ }}}} {{$guid}} "
    "{% raw %} <% x %>\nJSON\nEOF\n### next\n\n< ./file\n@name = x\n//comment /*x*/\n# @loop\n\r\n\t\x00\x0b\x1b[31m\x7f\x85"
    "\u2028\u2029\u202e\ufeff\u200b 漢字 🎉 é e\u0301 "
)  # fmt: skip
SIGNS = "{}$`'\"\\%#<>@!\n\r\t\x00\x1b\x7f\u2028\u202e aé漢🎉J"
TEXTS = st.lists(
    st.text(st.sampled_from(SIGNS)) | st.text(), min_size=1, max_size=5
).map(lambda texts: [text or "x" for text in texts])  # fmt: skip


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key=KEY) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def endpoint(sim):
    return Qwen(endpoint=f"openrouter+{sim.base_url}", api_key=KEY, model="flash").endpoint


def request(
    text: str = "What is the capital of France?", *, model: str = "qwen3.5-flash", **options: object
) -> Request:
    return Request(model, (Message("user", (Text(text),)),), Settings(**options))


def answer(asked: Request, place: str = "openrouter") -> Answer:
    return Answer(asked, text="Paris", endpoint=place, served_by=asked.model, finish_reason="stop")


@pytest.fixture
def packed(tmp_path):
    """Keep answers in the pack `a.qwenpack`."""

    def write(*answers: Answer) -> None:
        Pack.of(answers).write(tmp_path / "a.qwenpack")

    return write


# ---------------------------------------------------------------------- readers of each form


def run_program(words: list[str], typed: str) -> str:
    environ = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    done = subprocess.run(
        words, env={**environ, "QWENNB_API_KEY": KEY}, input=typed.encode(), capture_output=True, timeout=200
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def run_curl(text: str) -> None:
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("curl is not installed: apt-get install curl")
    run_program(["bash", "-s"], text)


def run_python(text: str) -> None:
    run_program([sys.executable, "-"], text)


def fill(text: str) -> str:
    """Fill in variables as these tools do: any pair of braces is one, and one that nobody set is a mistake here."""
    return re.sub(r"\{\{(.*?)\}\}", lambda found: {"QWENNB_API_KEY": KEY}[found[1].strip()], text, flags=re.S)


def post(url: str, headers: dict[str, str], body: str) -> None:
    asked = urllib.request.Request(url, body.encode(), headers, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked) as reply:
        reply.read()


def send_http(text: str) -> None:
    """Send what a `.http` file says: requests after ###, comments, a line, headers, an empty line, the body to the end."""
    assert text.startswith("### ")
    for part in re.split(r"^###.*\n", text, flags=re.M)[1:]:
        head, _, body = part.partition("\n\n")
        first, *rest = [line for line in head.split("\n") if not line.startswith("#")]
        method, url = first.split(" ")
        assert method == "POST" and not [
            line for line in body.split("\n") if line.startswith(("<", ">", "@", "#", "/"))
        ]
        headers = dict(re.fullmatch(r"([A-Za-z-]+): (.+)", line).groups() for line in rest)
        post(fill(url), {name: fill(value) for name, value in headers.items()}, fill(body))


def send_postman(text: str) -> None:
    """Send what a collection says; every object has just what the schema of v2.1 knows and wants."""
    told = json.loads(text)
    assert told.keys() == {"info", "item"} and told["info"].keys() == {"name", "schema"}
    assert told["info"]["schema"] == "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    assert isinstance(told["info"]["name"], str) and told["item"]
    for item in told["item"]:
        assert item.keys() == {"name", "request"} and isinstance(item["name"], str)
        asked = item["request"]
        assert asked.keys() == {"method", "header", "url", "body"} and asked["method"] == "POST"
        assert all(header.keys() == {"key", "value"} for header in asked["header"])
        assert asked["body"]["mode"] == "raw" and asked["body"]["options"] == {"raw": {"language": "json"}}
        headers = {header["key"]: fill(header["value"]) for header in asked["header"]}
        post(fill(asked["url"]), headers, fill(asked["body"]["raw"]))


def run_reader(name: str, words: list[str], folder: Path) -> None:
    program = Path(__file__).parents[2] / ".venv-readers" / "node_modules" / ".bin" / name
    if not program.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"{name} is not installed: python tests/setup.py"
        )
    environ = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    done = subprocess.run([program, *words], env=environ, cwd=folder, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


READERS = {"curl": run_curl, "python": run_python, "http": send_http, "postman": send_postman}


def check_arrival(sim, endpoint, requests: list[Request], form: str) -> None:
    """Export *requests*, let the tool send them, and compare each with what we send."""
    text = write_export([(one, endpoint) for one in requests], form)
    assert KEY not in text and "QWENNB_API_KEY" in text
    assert not re.findall(r"[^\n -~]", "".join(sign for sign in text if not sign.isprintable()))
    before = len(sim.ledger.asks())
    READERS[form](text)
    arrived = sim.ledger.asks()[before:]
    assert [entry.status for entry in arrived] == [200] * len(requests)
    for entry, one in zip(arrived, requests, strict=True):
        assert entry.body == endpoint.write(one, stream=False).body
        assert entry.body["messages"][-1]["content"].encode() == one.question.encode()


@pytest.mark.parametrize("form", FORMS)
def test_what_another_tool_sends_is_what_we_send(sim, endpoint, form):
    settings = {"temperature": 0.25, "seed": 7, "thinking": False, "max_tokens": 9, "stop": ("{{a}}", "$b")}
    check_arrival(sim, endpoint, [request(HOSTILE), request("Hello", **settings)], form)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["curl", "http", "postman"])
def test_hostile_text_arrives_byte_for_byte(sim, endpoint, form):
    @settings(max_examples=30, deadline=None)
    @given(TEXTS)
    @example([HOSTILE])
    def check(texts):
        check_arrival(sim, endpoint, [request(text) for text in texts], form)

    check()


@pytest.mark.slow
def test_hostile_text_arrives_byte_for_byte_from_python(sim, endpoint):
    @settings(max_examples=6, deadline=None)  # each starts an interpreter
    @given(st.lists(TEXTS, min_size=4, max_size=8))
    def check(texts):
        check_arrival(sim, endpoint, [request(text) for some in texts for text in some], "python")

    check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("postman", ["newman", "run", "a", "--env-var", f"QWENNB_API_KEY={KEY}"]),
        ("http", ["httpyac", "send", "a.http", "--all", "--var", f"QWENNB_API_KEY={KEY}"]),
    ],
)
def test_newman_and_httpyac_send_hostile_text_as_it_is(sim, endpoint, tmp_path, form, words):
    signs = random.Random(7)
    texts = [
        HOSTILE,
        "{{$guid}}",
        "{{",
        "}}",
        "{{{{$randomInt}}}}",
        "${process.env.HOME}",
        "// x",
        "{{QWENNB_API_KEY}}",
    ]
    texts += ["".join(signs.choices(SIGNS, k=signs.randint(1, 30))) for _ in range(40)]
    requests = [request(text) for text in texts]
    text = write_export([(one, endpoint) for one in requests], form)
    (tmp_path / ("a.http" if form == "http" else "a")).write_text(text, encoding="utf-8", newline="")
    before = len(sim.ledger.asks())
    run_reader(words[0], words[1:], tmp_path)
    arrived = [entry.body for entry in sim.ledger.asks()[before:]]
    assert arrived == [endpoint.write(one, stream=False).body for one in requests]


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_only_a_stream_brings_is_asked_for_as_one(form):
    with Simulator("dashscope", api_key=KEY) as sim:
        qwen = Qwen(endpoint=f"dashscope-intl+{sim.base_url}", api_key=KEY)
        check_arrival(sim, qwen.endpoint, [request("Hello")], form)
        assert sim.ledger.asks()[-1].body["stream"] is True


@pytest.mark.parametrize("form", FORMS)
def test_a_server_without_a_key_is_asked_without_one(form):
    with Simulator("vllm") as sim:
        endpoint = Qwen(endpoint=f"vllm+{sim.base_url}").endpoint
        text = write_export([(request("Hello", model="qwen3.5-9b"), endpoint)], form)
        assert "API_KEY" not in text
        READERS[form](text)
        assert sim.ledger.asks()[-1].status == 200


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_whose_bytes_are_known_goes_as_a_data_url(sim, endpoint, form, tmp_path):
    from PIL import Image as Pillow

    Pillow.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    asked = request("What colour?")
    message = replace(asked.messages[0], parts=(*asked.messages[0].parts, Image(tmp_path / "red.png")))
    asked = replace(asked, messages=(message,))
    READERS[form](write_export([(asked, endpoint)], form))
    assert sim.ledger.asks()[-1].body == endpoint.write(asked, stream=False).body
    assert "data:image/" in json.dumps(sim.ledger.asks()[-1].body)


# ---------------------------------------------------------------------- the command


def test_a_kept_answer_is_exported_by_how_its_key_begins(run, simulate, client):
    sim = simulate("openrouter")
    kept = client(sim).ask("What is the capital of France?", model="flash")
    runtime().close()
    ran = run("export", kept.key[:10], "--as", "curl")
    assert ran.code == 0 and not ran.err
    assert ran.out.startswith("curl -sS 'https://openrouter.ai/api/v1/chat/completions'")
    assert '"Authorization: Bearer $OPENROUTER_API_KEY"' in ran.out
    assert json.loads(ran.out.split("'JSON'\n")[1].split("\nJSON")[0]) == {
        name: value
        for name, value in sim.ledger.asks()[-1].body.items()
        if name not in ("stream", "stream_options")
    }


def test_a_request_is_written_for_the_endpoint_that_is_named(run, packed, simulate):
    packed(answer(request(HOSTILE)))
    sim = simulate("openrouter", api_key=KEY)
    place = f"openrouter+{sim.base_url}"
    ran = run("export", "a.qwenpack", "--as", "curl", "--endpoint", place, environ={"QWENNB_API_KEY": KEY})
    assert ran.code == 0, ran.err
    run_curl(ran.out)
    assert sim.ledger.asks()[-1].body["messages"][-1]["content"] == HOSTILE and KEY not in ran.out
    hosted = run("export", "a.qwenpack", "--as", "http", "-e", "dashscope-intl")
    assert "Bearer {{DASHSCOPE_API_KEY}}" in hosted.out and hosted.code == 0


def test_a_pack_is_exported_whole(run, packed):
    packed(answer(request("One")), answer(request("Two")), answer(request("Three")))
    told = json.loads(run("export", "a.qwenpack", "--as", "postman").out)
    asked = {json.loads(item["request"]["body"]["raw"])["messages"][0]["content"] for item in told["item"]}
    assert asked == {"One", "Two", "Three"}


def test_where_a_server_of_ones_own_was_is_told_as_not_known(run, packed):
    packed(answer(request(model="qwen3.5-9b"), "vllm:Qwen/Qwen3.5-9B"))
    ran = run("export", "a.qwenpack", "--as", "curl")
    assert (
        "'http://127.0.0.1:8000/v1/chat/completions'" in ran.out and '"model": "Qwen/Qwen3.5-9B"' in ran.out
    )
    assert "No record says at which address vllm:Qwen/Qwen3.5-9B was" in ran.err
    assert "--endpoint vllm+http://host/v1" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["0123456789"], "As what? Type qwennb export 0123456789 --as curl, or --as another of curl, python, http, postman."),
        (["0123456789", "--as", "crul"], "--as crul is not known; did you mean `curl`? Forms: curl, python, http, postman."),
        (["abc", "--as", "curl"], "abc is too short for a key. Give at least 4 signs of what answer.key shows."),
        (["0123456789", "--as", "curl"], "has the key 0123456789. answer.key shows one;"),
        (["wrong", "--as", "curl"], "wrong is neither a key (hexadecimal, as answer.key shows it, or how it begins) nor a pack"),
        (["none.qwenpack", "--as", "curl"], "There is no pack none.qwenpack here."),
        (["a.qwenpack", "--as", "curl"], "a.qwenpack holds no request. Give a pack that does, or the key of a kept answer."),
        (["--as", "curl"], "KEY|FILE"),
    ],
)  # fmt: skip
def test_what_can_not_be_exported_is_told_with_what_to_type(run, packed, words, told):
    packed()
    ran = run("export", *words)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1) and told in ran.err


@pytest.mark.parametrize(
    ("place", "words", "told"),
    [
        ("local:" + "0" * 64, [], "The embedded model has no address of its own. `qwennb local serve` gives it one"),
        ("openai:tiny", [], "No record says at which address openai:tiny was. Give it: --endpoint openai+http://host/v1"),
        ("openrouter", ["-e", "simulator"], "The simulator needs an address. Type: qwennb simulate"),
        ("openrouter", ["-e", "openruoter"], "There is no endpoint `openruoter`; did you mean `openrouter`?"),
        ("openrouter", ["-e", "openrouter+https://openrouter.ai/api/v1"], "set OPENROUTER_API_KEY"),
    ],
)  # fmt: skip
def test_where_it_can_not_be_sent_is_told_with_what_to_type(run, packed, place, words, told):
    packed(answer(request(), place))
    ran = run("export", "a.qwenpack", "--as", "curl", *words)
    assert ran.code and not ran.out and told in ran.err and ran.err.count("\n") == 1


def test_a_key_that_begins_like_another_is_refused_with_both(run, simulate, client):
    sim, keys = simulate("openrouter"), []
    qwen, number = client(sim), 0
    while len({key[:4] for key in keys}) == len(keys):  # some hundreds, by the birthday of 65,536 days
        number += 1
        keys.append(request(f"{number}").key)
    twice = next(key for key in keys if key[:4] == keys[-1][:4])
    qwen.ask_many([str(keys.index(key) + 1) for key in (twice, keys[-1])], model="flash")
    runtime().close()
    ran = run("export", keys[-1][:4], "--as", "curl")
    assert ran.code == 2 and f"2 keys begin with {keys[-1][:4]}: " in ran.err
    assert twice[:12] in ran.err and keys[-1][:12] in ran.err and "Type more" in ran.err


def test_a_request_that_two_endpoints_answered_is_refused_until_one_is_named(run, simulate, client):
    one = client(simulate("openrouter")).ask("Hello", model="flash")
    client(simulate("dashscope")).ask("Hello", model="flash")
    runtime().close()
    ran = run("export", one.key, "--as", "curl")
    assert (
        ran.code == 2
        and "was answered by dashscope" in ran.err
        and "Say which: --endpoint dashscope" in ran.err
    )
    assert "openrouter.ai" in run("export", one.key, "--as", "curl", "-e", "openrouter").out


@pytest.fixture
def pictures(tmp_path) -> Request:
    """A request about a file, and about pixels that never were one."""
    from PIL import Image as Pillow

    Pillow.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    asked = request("What colours?")
    images = Image(tmp_path / "red.png"), Image(Pillow.new("RGB", (40, 40), "blue"))
    film = Video([Image(Pillow.new("RGB", (40, 40), (n, n, n))) for n in range(4)], fps=1)
    message = replace(asked.messages[0], parts=(*asked.messages[0].parts, *images, film))
    return replace(asked, messages=(message,))


def test_a_picture_whose_bytes_are_not_kept_is_told_in_one_sentence(run, packed, pictures):
    packed(answer(pictures))
    ran = run("export", "a.qwenpack", "--as", "curl")
    assert ran.code == 2 and "whose bytes the record has not" in ran.err and ran.err.count("\n") == 1


def test_pictures_in_the_folder_beside_the_pack_are_sent(run, packed, pictures, endpoint, tmp_path):
    packed(answer(pictures))
    beside = PackMedia.beside(tmp_path / "a.qwenpack")
    beside.keep(pictures.media)
    ran = run("export", "a.qwenpack", "--as", "curl")
    assert ran.code == 0, ran.err
    assert (
        json.loads(ran.out.split("'JSON'\n")[1].split("\nJSON")[0])
        == endpoint.write(pictures, stream=False).body
    )
    for file in beside.folder.glob("*.png"):
        file.write_bytes(b"another")
    ran = run("export", "a.qwenpack", "--as", "curl")
    assert ran.code == 2 and not ran.out and ran.err.count("\n") == 1


def test_one_request_of_a_pack_is_exported_by_how_its_key_begins(run, packed):
    meant, other = request("This one?"), request("Not this one.")
    packed(answer(meant), answer(other), answer(other, "dashscope-intl"))
    ran = run("export", "a.qwenpack", "--key", meant.key[:6], "--as", "http")
    assert ran.code == 0 and "This one?" in ran.out and "Not this one." not in ran.out
    words = ("export", "a.qwenpack", "--key", other.key[:6], "--as", "http")
    ran = run(*words, "-e", "dashscope-intl")
    assert ran.code == 0 and "dashscope" in ran.out and "Not this one." in ran.out
    for typed, told in (
        (words, "was answered by dashscope-intl and by openrouter. Say which: --endpoint dashscope-intl"),
        (
            ("export", "a.qwenpack", "--key", "0000", "--as", "curl"),
            "a.qwenpack holds no request whose key begins with 0000",
        ),
        (("export", "a.qwenpack", "--key", "00", "--as", "curl"), "00 is too short for a key."),
        (
            ("export", "abcdef12", "--key", "0000", "--as", "curl"),
            "abcdef12 is a key already. Leave --key out.",
        ),
    ):
        ran = run(*typed)
        assert (ran.code, ran.out) == (2, "") and told in ran.err and ran.err.count("\n") == 1


def test_no_key_of_the_environment_is_exported(run, packed):
    packed(answer(request()), answer(request(), "vllm:Qwen/Qwen3.5-9B"))
    environ = {"QWENNB_API_KEY": KEY, "OPENROUTER_API_KEY": KEY}
    for form in FORMS:
        ran = run("export", "a.qwenpack", "--as", form, environ=environ)
        assert ran.code == 0 and KEY not in ran.out + ran.err
        assert "QWENNB_API_KEY" in ran.out and "OPENROUTER_API_KEY" in ran.out


def test_what_the_output_has_no_letters_for_is_not_written_as_question_marks(packed, tmp_path):
    packed(answer(request("漢字")))
    words = [sys.executable, "-m", "qwennb.cli", "export", "a.qwenpack", "--as", "curl"]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    for encoding, code in (("latin-1", 2), ("utf-8", 0)):
        done = subprocess.run(
            words,
            env={**environ, "PYTHONIOENCODING": encoding},
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == code and ("漢字".encode() in done.stdout) == (code == 0)
        assert code == 0 or b"Set PYTHONUTF8=1" in done.stderr


@pytest.mark.parametrize("name", ["openrouter", "dashscope-intl"])
def test_the_variable_is_that_of_the_provider(name):
    place = recorded_endpoint(name, Catalog.load_bundled())
    variable = {"openrouter": "OPENROUTER_API_KEY", "dashscope-intl": "DASHSCOPE_API_KEY"}[name]
    for form in FORMS:
        assert variable in write_export([(request(), place)], form)
    assert urlsplit(place.base_url).hostname in write_export([(request(), place)], "http")


@pytest.mark.parametrize("form", ["curl", "http"])
def test_the_page_shows_what_is_printed(run, packed, form):
    asked = request("What does `echo $HOME` print?", thinking=False)
    packed(answer(asked))
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
    printed = run("export", "a.qwenpack", "--as", form).out.rstrip("\n")
    assert f"$ qwennb export {asked.key[:8]} --as {form}\n{printed}\n```" in page
