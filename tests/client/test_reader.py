"""Whoever was sent a notebook with its pack and can ask nobody is told of the pack: found or not, what differs, what to type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from qwennb import Pack, Qwen
from qwennb.answer import Answer
from qwennb.client import runtime
from qwennb.errors import BadInput, NotRecorded
from qwennb.request import Image, Message, Request, Text
from tests.answers import answer_of
from tests.cli.conftest import run  # noqa: F401  (a fixture)
from tests.notebooks import written

MODEL, ENDPOINT = "qwen3.5-plus", "dashscope-intl"


def chart(width: float = 2.0) -> Figure:
    """A chart; another *width* of its line stands for another matplotlib."""
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([1, 3, 2], linewidth=width)
    return figure


def recorded(*parts: object, text: str = "as recorded", model: str = MODEL) -> Answer:
    given = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Answer(
        Request(model, (Message("user", given),)), text=text, endpoint=ENDPOINT, created=answer_of(0).created
    )


@pytest.fixture
def there(tmp_path):
    """The folder of the notebook, which is the working folder, and no pack loaded."""
    before = Path.cwd()
    os.chdir(tmp_path)
    runtime().packs.forget()
    yield tmp_path
    runtime().packs.forget()
    os.chdir(before)


def reader(program: str, folder: Path, **environ: str) -> str:
    """What is said to somebody who has nothing (no key, no server, no model) and runs *program* in *folder*."""
    home = {
        "HOME": str(folder / "home"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    told = (
        "try:\n    "
        + program.replace("\n", "\n    ")
        + "\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import polars as pl, qwennb\nfrom qwennb import Qwen\n{told}"],
        cwd=folder, env=home | environ, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout


ASKED = {
    "ask": 'Qwen().ask("{0}")',
    "stream": 'list(Qwen().stream("{0}"))',
    "chat": 'Qwen().chat().ask("{0}")',
    "ask_many": 'a = Qwen().ask_many(["{0}"])[0]\nif a.error: raise a.error',
    "door": 'Qwen().openai.chat.completions.create(model="plus", messages=[dict(role="user", content="{0}")])',
    "column": 'print(pl.DataFrame(dict(x=["{0}"])).qwen.ask("{{{{ x }}}}", on_error="raise"))',
}


@pytest.mark.slow
@pytest.mark.parametrize("way", ASKED)
def test_a_pack_beside_the_notebook_is_spoken_of_and_never_no_endpoint(tmp_path, way):
    Pack.of([recorded("Why?")]).write(tmp_path / "analysis.qwenpack")
    told = reader(ASKED[way].format("Why?"), tmp_path)
    assert "No endpoint was found" not in told
    assert "analysis.qwenpack" in told and "%qwen_pack analysis.qwenpack" in told, told


@pytest.mark.slow
@pytest.mark.parametrize("way", ASKED)
def test_a_pack_that_is_loaded_is_spoken_of_with_what_differs(tmp_path, way):
    Pack.of([recorded("Why is it so?")]).write(tmp_path / "analysis.qwenpack")
    told = reader(ASKED[way].format("Why is it so blue?"), tmp_path, QWENNB_PACK="analysis.qwenpack")
    assert "No endpoint was found" not in told
    assert "analysis.qwenpack" in told and "DASHSCOPE_API_KEY" in told, told
    assert "The nearest recorded request" in told, told
    assert ("blue" in told) == (way != "column"), "what a row holds is not repeated"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["refresh", "off"])
def test_a_mode_that_recalls_nothing_is_told_though_the_pack_has_the_answer(tmp_path, mode):
    Pack.of([recorded("Why?")]).write(tmp_path / "analysis.qwenpack")
    told = reader(f'Qwen(cache="{mode}").ask("Why?")', tmp_path, QWENNB_PACK="analysis.qwenpack")
    assert "has the answer to request" in told and "this cache mode does not recall" in told, told
    assert "has no answer" not in told and "differs" not in told


@pytest.mark.slow
def test_beside_the_notebook_it_is_told_whether_the_answer_is_there(tmp_path):
    (tmp_path / "packs").mkdir()
    Pack.of([recorded("Why is it so?")]).write(tmp_path / "packs" / "analysis.qwenpack.zst")
    named = {"JPY_SESSION_NAME": "analysis.ipynb"}
    there = reader('Qwen().ask("Why is it so?")', tmp_path, **named)
    assert "has the answer" in there and "%qwen_pack packs/analysis.qwenpack.zst" in there
    other = reader('Qwen().ask("Why is it so blue?")', tmp_path, **named)
    assert "has no answer" in other and "The nearest recorded request" in other
    key = reader('Qwen(endpoint="dashscope").ask("Why is it so?")', tmp_path, **named)
    assert "has the answer" in key and "DASHSCOPE_API_KEY" in key
    server = reader(
        'Qwen(endpoint="http://127.0.0.1:9/v1", model="plus").ask("Why is it so?")', tmp_path, **named
    )
    assert "has the answer" in server and "127.0.0.1:9" in server
    (tmp_path / "packs" / "analysis.qwenpack.zst").write_bytes(b"PK\x03\x04")
    assert "is a zip file" in reader('Qwen().ask("Why?")', tmp_path, **named)


@pytest.mark.slow
def test_without_any_pack_the_choices_are_listed_as_ever(tmp_path):
    assert "No endpoint was found" in reader('Qwen().ask("Why?")', tmp_path)
    Pack.of([recorded("Why?")]).write(tmp_path / "analysis.qwenpack")
    typo = reader('Qwen(endpoint="opnrouter").ask("Why?")', tmp_path)
    assert "did you mean `openrouter`" in typo and "qwenpack" not in typo


def test_who_set_the_default_model_is_named(there):
    Pack.of([recorded("Why?")]).write("analysis.qwenpack")
    runtime().load("analysis.qwenpack")
    for mode in ("replay", "on"):
        with pytest.raises((NotRecorded, BadInput)) as missed:
            Qwen(cache=mode, cache_dir=there / "c", endpoint="dashscope-intl").ask("Why on earth?")
        assert f"{MODEL} is the default of analysis.qwenpack" in str(missed.value)
        with pytest.raises((NotRecorded, BadInput)) as missed:
            Qwen(cache=mode, cache_dir=there / "c", endpoint="dashscope-intl").ask(
                "Why on earth?", model="flash"
            )
        assert "default of" not in str(missed.value)


def test_a_column_names_who_set_the_model_too(there):
    Pack.of([recorded("Why?")]).write("analysis.qwenpack")
    runtime().load("analysis.qwenpack")
    frame = pl.DataFrame({"x": ["Why on earth?"]})
    with pytest.raises(NotRecorded, match=f"{MODEL} is the default of analysis.qwenpack"):
        frame.qwen.ask("{{ x }}", client=Qwen(cache="replay", cache_dir="c"), on_error="raise")
    with pytest.raises(NotRecorded) as missed:
        frame.qwen.ask("{{ x }}", client=Qwen("flash", cache="replay", cache_dir="c"), on_error="raise")
    assert "default of" not in str(missed.value)


@pytest.mark.slow
def test_a_model_of_the_environment_is_named_as_that(tmp_path):
    told = reader('Qwen(cache="replay").ask("Why?")', tmp_path, QWENNB_MODEL="flash")
    assert "qwen3.5-flash comes from QWENNB_MODEL" in told
    (tmp_path / "pyproject.toml").write_text('[tool.qwennb]\nmodel = "flash"\n')
    assert "qwen3.5-flash comes from pyproject.toml" in reader('Qwen(cache="replay").ask("Why?")', tmp_path)


# ---------------------------------------------------------------------- figures


@pytest.fixture
def charts(there):
    """A pack with one question about a chart, as the matplotlib of whoever recorded it drew it."""
    Pack.of([recorded("What is wrong?", Image(chart(3.0))), recorded("Why?")]).write("charts.qwenpack")
    return there / "charts.qwenpack"


def test_a_figure_drawn_otherwise_is_told_with_what_takes_the_recorded_answer(charts):
    runtime().load(charts)
    for mode in ("replay", "on"):
        with pytest.raises((NotRecorded, BadInput)) as missed:
            Qwen(cache=mode, cache_dir="c", endpoint="dashscope-intl").ask("What is wrong?", images=[chart()])
        assert "--accept-figures" in str(missed.value)
    with pytest.raises(NotRecorded) as missed:  # a picture of one's own is another picture
        Qwen(cache="replay", cache_dir="c").ask("What is wrong?", images=[b_picture()])
    assert "--accept-figures" not in str(missed.value)


def b_picture():
    from PIL import Image as Pillow

    return Pillow.new("RGB", (9, 9), "red")


@pytest.mark.filterwarnings("ignore:A figure")
@pytest.mark.slow
def test_with_accept_figures_the_recorded_answer_is_taken_and_marked(charts, recwarn):
    runtime().load(charts, accept_figures=True)
    for mode in ("replay", "on"):
        qwen = Qwen(cache=mode, cache_dir="c", endpoint="dashscope-intl")
        answer = qwen.ask("What is wrong?", images=[chart()])
        assert (answer.text, answer.cached) == ("as recorded", True)
        assert answer.key == recorded("What is wrong?", Image(chart(3.0))).key
        chat = qwen.chat()
        assert str(chat.ask("What is wrong?", images=[chart()])) == "as recorded"
        assert [str(a) for a in qwen.ask_many(["Why?"])] == ["as recorded"]
    for prompt, picture in (("What is right?", chart()), ("What is wrong?", b_picture())):
        with pytest.raises(NotRecorded):
            Qwen(cache="replay", cache_dir="c").ask(prompt, images=[picture])


def test_the_mark_names_the_file_and_is_told_once(charts):
    runtime().load(charts, accept_figures=True)
    with pytest.warns(UserWarning, match=r"A figure .* charts\.qwenpack .*--accept-figures") as told:
        for _ in range(3):
            Qwen(cache="replay", cache_dir="c").ask("What is wrong?", images=[chart(2.5)])
    assert len(told) == 1


def test_of_two_recorded_figures_none_is_guessed(there):
    Pack.of([recorded("What is wrong?", Image(chart(w))) for w in (3.0, 4.0)]).write("two.qwenpack")
    runtime().load("two.qwenpack", accept_figures=True)
    with pytest.raises(NotRecorded, match="2 recorded requests"):
        Qwen(cache="replay", cache_dir="c").ask("What is wrong?", images=[chart()])
    with_own = Qwen(cache="replay", cache_dir="c").ask("What is wrong?", images=[chart(4.0)])
    assert with_own.text == "as recorded"


FIGURES = """import matplotlib as mpl
from matplotlib.figure import Figure
from qwennb import Qwen
figure = Figure(figsize=(2, 2))
figure.subplots().plot([1, 3, 2])
print(Qwen().ask("What is wrong?", images=[figure]))"""


@pytest.mark.slow
def test_verify_takes_it_where_it_is_told_to_and_says_so(there, run):  # noqa: F811
    Pack.of([recorded("What is wrong?", Image(chart(3.0)))]).write("n.qwenpack")
    written(
        there / "n.ipynb",
        [
            FIGURES,
            "%load_ext qwennb\n%qwen_pack n.qwenpack --accept-figures",
            "print(Qwen().ask('What is wrong?', images=[figure]))",
        ],
    )
    refused = run("verify", "n.ipynb")
    assert "verify --accept-figures" in refused.out and refused.code == 1, refused.out + refused.err
    accepted = run("verify", "n.ipynb", "--accept-figures")
    assert accepted.code == 0, accepted.out + accepted.err
    assert (
        "1 of 1 answers replayed" in accepted.out
        and "1 answer taken for a figure that is drawn otherwise" in accepted.out
    )


def test_the_magic_takes_the_flag_before_or_behind_the_file(charts):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "qwennb")
    try:
        for line in ("charts.qwenpack --accept-figures", "--accept-figures 'charts.qwenpack'"):
            shell.run_line_magic("qwen_pack", line)
            assert [one.accepts_figures for one in runtime().packs.loaded] == [True]
            shell.run_line_magic("qwen_pack", "off")
        shell.run_line_magic("qwen_pack", "charts.qwenpack")
        assert [one.accepts_figures for one in runtime().packs.loaded] == [False]
    finally:
        shell.run_line_magic("qwen_pack", "off")
        shell.run_line_magic("unload_ext", "qwennb")
        InteractiveShell.clear_instance()
