"""What is typed wrong behind `pack`, `verify` and `drift` is told before a kernel is started."""

from __future__ import annotations

import errno
import os

import pytest

from qwennb import Pack

NOTEBOOK = '{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}'
COMMANDS = ("pack", "verify", "drift")


@pytest.fixture(autouse=True)
def files(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "good.ipynb").write_text(NOTEBOOK)
    (tmp_path / "empty.ipynb").write_text("\n")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "binary.ipynb").write_bytes(b"\x80\x04\x95")
    (tmp_path / "list.ipynb").write_text("[1]")
    (tmp_path / "other.ipynb").write_text('{"name": "package"}')
    (tmp_path / "deep.ipynb").write_text("[" * 100_000)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none.ipynb", "There is no notebook none.ipynb."),
        ("folder", "folder is a folder. Give a notebook in it."),
        ("empty.ipynb", "empty.ipynb is no notebook that can be read: it is empty."),
        ("notes.txt", "notes.txt is no notebook that can be read: it is not JSON."),
        ("binary.ipynb", "binary.ipynb is no notebook that can be read: it is not JSON."),
        ("deep.ipynb", "deep.ipynb is no notebook that can be read: it is not JSON."),
        ("list.ipynb", "list.ipynb is no notebook that can be read: it has no cells."),
        ("other.ipynb", "other.ipynb is no notebook that can be read: it has no cells."),
    ],
)
def test_what_is_no_notebook_is_told_with_the_reason(run, command, name, told):
    ran = run(command, name)
    assert (ran.code, ran.out, ran.err) == (2, "", f"{told}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_notebook_that_can_not_be_read_is_told_as_that(run, tmp_path, command):
    (tmp_path / "loop.ipynb").symlink_to("loop.ipynb")
    ran = run(command, "loop.ipynb")
    assert (ran.code, ran.err) == (
        2,
        f"The notebook loop.ipynb can't be read ({os.strerror(errno.ELOOP)}).\n",
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("typed", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_refused(run, command, typed):
    ran = run(command, "good.ipynb", "--timeout", typed)
    assert ran.code == 2 and f"'{typed}' is no number of seconds" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-o", "folder"], "folder is a folder. Give the pack a file's name: -o NAME.qwenpack"),
        (["-o", "nowhere/a.qwenpack"], "can't be written: there is no folder nowhere."),
        (["--from", "none.qwenpack"], "There is no pack none.qwenpack here."),
        (["--from", "notes.txt"], "notes.txt is no pack"),
        (["--medai"], "did you mean `--media`?"),
    ],
)
def test_a_pack_that_can_not_be_read_or_written_is_told_before_the_notebook_runs(run, words, told):
    ran = run("pack", "good.ipynb", *words)
    assert ran.code == 2 and told in ran.err and ran.out == ""


def test_an_old_pack_that_can_not_be_read_is_not_written_over(run, tmp_path):
    (tmp_path / "good.qwenpack").write_text("mine")
    ran = run("pack", "good.ipynb", "--yes")
    assert (
        ran.code == 2 and "is no pack" in ran.err and "move it away first, or give -o another name" in ran.err
    )
    assert (tmp_path / "good.qwenpack").read_text() == "mine"


def test_every_pack_that_the_environment_names_is_looked_for(run, tmp_path):
    Pack.of([]).write(tmp_path / "a.qwenpack")
    ran = run("pack", "good.ipynb", environ={"QWENNB_PACK": os.pathsep.join(["a.qwenpack", "b.qwenpack"])})
    assert ran.code == 2 and "There is no pack b.qwenpack here." in ran.err
