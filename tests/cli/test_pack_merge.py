"""Two branches that each add answers to one pack: git merges its lines, and what git can't, `qwennb pack --merge` does."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from qwennb import Pack
from qwennb.errors import PackRefused
from tests.answers import answer_of, answers

OLD = Path(__file__).parent / "old"  # as 0.1 wrote the lessons' packs


@pytest.fixture
def git(tmp_path):
    """Run git in a repository of its own."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*words: str) -> int:
        config = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main")
        done = subprocess.run(
            ["git", *config, *words], cwd=tmp_path, env=environ, capture_output=True, check=False
        )
        return done.returncode

    assert run("init") == 0
    return run


def branches(git, path: Path, base, ours, theirs) -> int:
    """Commit *base*, add *ours* on main and *theirs* on a branch, and merge: what git's merge returned."""
    for name, held, before in (
        ("main", base, None),
        ("theirs", [*base, *theirs], "main"),
        ("main", [*base, *ours], "main"),
    ):
        if before is not None:
            git("checkout", "-B" if name == "theirs" else "-f", name, *(["main"] if name == "theirs" else []))
        Pack.of(held).write(path)
        git("add", "-A")
        assert git("commit", "-m", "x") == 0
    return git("merge", "--no-edit", "theirs")


def between(low: str, high: str, count: int, skip=()):
    """Answers whose keys lie between two others, so that they come to stand there."""
    found = [
        a for a in (answer_of(6 * n) for n in range(100, 900)) if low < a.key < high and a.key not in skip
    ]
    return found[:count]


def apart():
    """A base, and two answers that do not come to stand at the same place of it."""
    base = sorted(answers(12), key=lambda answer: answer.key)
    [one], [other] = between(base[1].key, base[2].key, 1), between(base[8].key, base[9].key, 1)
    return base, one, other


def same_place():
    """A base, and two answers that come to stand between the same two lines of it."""
    base = sorted(answers(12), key=lambda answer: answer.key)
    return (base, *between(base[5].key, base[6].key, 2))


def keys(*held):
    return sorted(answer.key for answer in held)


def test_two_branches_that_add_an_answer_each_are_merged_by_git_alone(git, tmp_path):
    base, one, other = apart()
    assert branches(git, tmp_path / "a.qwenpack", base, [one], [other]) == 0
    merged = Pack.read(tmp_path / "a.qwenpack")
    assert keys(*merged) == keys(*base, one, other) and merged == Pack.of([*base, one, other])


def test_a_merge_that_git_leaves_open_is_ended_by_one_command(git, run, tmp_path):
    base, one, other = same_place()
    assert branches(git, tmp_path / "a.qwenpack", base, [one], [other]) == 1
    assert "<<<<<<< " in (tmp_path / "a.qwenpack").read_text()
    with pytest.raises(PackRefused, match=r"merge that git left open.*qwennb pack --merge a\.qwenpack"):
        Pack.read(tmp_path / "a.qwenpack")
    done = run("pack", "--merge", "a.qwenpack")
    assert done.code == 0, done.err
    assert "14 answers" in done.out and Pack.read(tmp_path / "a.qwenpack") == Pack.of([*base, one, other])
    assert Pack.read(tmp_path / "a.qwenpack").root in done.out


@pytest.mark.parametrize("style", ["diff3", "zdiff3"])
def test_the_marks_of_other_styles_are_read_too(git, run, tmp_path, style):
    base, one, other = same_place()
    git("config", "merge.conflictStyle", style)
    assert branches(git, tmp_path / "a.qwenpack", base, [one], [other]) == 1
    assert run("pack", "--merge", "a.qwenpack").code == 0
    assert keys(*Pack.read(tmp_path / "a.qwenpack")) == keys(*base, one, other)


def test_with_gits_own_union_nothing_is_left_open(git, tmp_path):
    base, one, other = same_place()
    (tmp_path / ".gitattributes").write_text("*.qwenpack -text merge=union\n")
    assert branches(git, tmp_path / "a.qwenpack", base, [one, answer_of(5000)], [other, answer_of(5000)]) == 0
    assert Pack.read(tmp_path / "a.qwenpack") == Pack.of([*base, one, other, answer_of(5000)])


def test_a_first_answer_on_both_branches_is_merged_too(git, run, tmp_path):
    assert branches(git, tmp_path / "a.qwenpack", [], [answer_of(0)], [answer_of(6)]) == 1
    assert run("pack", "--merge", "a.qwenpack").code == 0
    assert keys(*Pack.read(tmp_path / "a.qwenpack")) == keys(answer_of(0), answer_of(6))


@pytest.mark.parametrize("ending", ["qwenpack", "qwenpack.zst"])
def test_two_packs_become_one_and_the_order_makes_no_difference(run, tmp_path, ending):
    Pack.of(answers(8)).write(tmp_path / f"a.{ending}")
    Pack.of(answers(12)[4:]).write(tmp_path / f"b.{ending}")
    for names in (("a", "b"), ("b", "a")):
        done = run("pack", "--merge", *(f"{name}.{ending}" for name in names), "-o", f"c.{ending}")
        assert done.code == 0, done.err
        assert Pack.read(tmp_path / f"c.{ending}") == Pack.of(answers(12))
    assert len(Pack.read(tmp_path / f"a.{ending}")) == 8
    done = run("pack", "--merge", f"a.{ending}", f"b.{ending}")
    assert done.code == 0 and f"a.{ending}: 12 answers" in done.out
    assert len(Pack.read(tmp_path / f"a.{ending}")) == 12 and len(Pack.read(tmp_path / f"b.{ending}")) == 8


def later(answer, text: str = ""):
    return replace(answer, text=text or answer.text, created=answer.created + timedelta(days=1))


def test_different_answers_to_one_request_are_refused_with_both_and_taken_as_is_said(run, tmp_path):
    Pack.of([answer_of(0, "blue"), answer_of(6)]).write(tmp_path / "a.qwenpack")
    Pack.of([later(answer_of(0), "green"), answer_of(12)]).write(tmp_path / "b.qwenpack")
    before = (tmp_path / "a.qwenpack").read_bytes()
    told = run("pack", "--merge", "a.qwenpack", "b.qwenpack")
    assert told.code == 2 and (tmp_path / "a.qwenpack").read_bytes() == before
    assert all(
        word in told.err for word in (answer_of(0).key[:12], "blue", "green", "--keep older", "--keep newer")
    )
    assert told.err.count("\n") < 12
    for keep, text in (("older", "blue"), ("newer", "green")):
        done = run("pack", "--merge", "b.qwenpack", "a.qwenpack", "--keep", keep, "-o", "c.qwenpack")
        assert done.code == 0 and f"the {keep} is kept" in done.out
        merged = {answer.key: answer.text for answer in Pack.read(tmp_path / "c.qwenpack")}
        assert len(merged) == 3 and merged[answer_of(0).key] == text


def test_different_answers_from_two_branches_are_told_and_ended_the_same_way(git, run, tmp_path):
    base = answers(6)[1:]
    one, other = answer_of(0, "blue"), later(answer_of(0), "green")
    assert branches(git, tmp_path / "a.qwenpack", base, [one], [other]) == 1
    assert "--keep newer" in run("pack", "--merge", "a.qwenpack").err
    assert run("pack", "--merge", "a.qwenpack", "--keep", "newer").code == 0
    assert {a.key: a.text for a in Pack.read(tmp_path / "a.qwenpack")}[one.key] == "green"


def test_a_union_with_two_answers_to_one_request_is_refused_with_what_to_type(git, run, tmp_path):
    (tmp_path / ".gitattributes").write_text("*.qwenpack merge=union\n")
    one, other = answer_of(0, "blue"), later(answer_of(0), "green")
    assert branches(git, tmp_path / "a.qwenpack", answers(6)[1:], [one], [other]) == 0
    with pytest.raises(
        PackRefused, match=r"two different answers.*qwennb pack --merge a\.qwenpack --keep newer"
    ):
        Pack.read(tmp_path / "a.qwenpack")
    assert run("pack", "--merge", "a.qwenpack", "--keep", "older").code == 0
    assert {a.key: a.text for a in Pack.read(tmp_path / "a.qwenpack")}[one.key] == "blue"


def test_the_same_answer_asked_twice_is_no_difference(run, tmp_path):
    Pack.of([answer_of(0)]).write(tmp_path / "a.qwenpack")
    Pack.of([later(answer_of(0))]).write(tmp_path / "b.qwenpack")
    for names in (("a.qwenpack", "b.qwenpack"), ("b.qwenpack", "a.qwenpack")):
        assert run("pack", "--merge", *names, "-o", "c.qwenpack").code == 0
        assert [a.created for a in Pack.read(tmp_path / "c.qwenpack")] == [answer_of(0).created]


def test_what_a_request_without_a_model_means_is_told_where_the_packs_differ(run, tmp_path):
    Pack.of([answer_of(0)], model="m1", endpoint="e1").write(tmp_path / "a.qwenpack")
    Pack.of([answer_of(6)], model="m2", endpoint="e2").write(tmp_path / "b.qwenpack")
    done = run("pack", "--merge", "a.qwenpack", "b.qwenpack")
    assert done.code == 0 and "m1 at e1" in done.out and "m2 at e2" in done.out
    assert Pack.read(tmp_path / "a.qwenpack").model == "m1"


def test_an_old_pack_is_read_as_ever_and_merged_into_one_of_the_new_form(run, tmp_path):
    files = list(OLD.glob("*.qwenpack"))
    assert len(files) == 3
    for file in files:
        assert file.read_bytes().startswith(b'{"qwennb_pack":1,')
        pack = Pack.read(file)
        assert pack.root.encode() in file.read_bytes()  # the content's root is what it was
        pack.write(tmp_path / "new.qwenpack")
        assert Pack.read(tmp_path / "new.qwenpack") == pack
    Pack.of([answer_of(0)]).write(tmp_path / "b.qwenpack")
    done = run("pack", "--merge", "new.qwenpack", "b.qwenpack")
    assert done.code == 0 and len(Pack.read(tmp_path / "new.qwenpack")) == len(pack) + 1


def test_an_old_pack_in_an_open_merge_is_told_how_to_take_both_sides(run, tmp_path):
    [old] = OLD.glob("00-*.qwenpack")
    lines = old.read_bytes().splitlines(keepends=True)
    marked = [
        b"<<<<<<< HEAD\n",
        lines[0],
        b"=======\n",
        lines[0].replace(b'"count":', b'"count":1'),
        b">>>>>>> x\n",
        *lines[1:],
    ]
    (tmp_path / "a.qwenpack").write_bytes(b"".join(marked))
    with pytest.raises(PackRefused, match="left open"):
        Pack.read(tmp_path / "a.qwenpack")
    told = run("pack", "--merge", "a.qwenpack")
    assert (
        told.code == 2
        and "git show :2:./a.qwenpack > ours" in told.err
        and "git show :3:./a.qwenpack > theirs" in told.err
    )


def test_the_file_says_which_version_reads_it_and_nothing_in_it_counts_lines(tmp_path):
    Pack.of(answers(2)).write(tmp_path / "a.qwenpack")
    first, *lines, last = (tmp_path / "a.qwenpack").read_bytes().splitlines()
    assert first.startswith(b'{"qwennb_pack":2,"needs":"qwennb 0.2","defaults":{"model":"qwen3.5-plus",')
    assert last == b'{"qwennb_pack":"end"}' and len(lines) == 2
    Pack.of(answers(3)).write(tmp_path / "b.qwenpack")
    assert {first, *lines, last} < set((tmp_path / "b.qwenpack").read_bytes().splitlines())


def test_a_pack_of_a_form_that_is_not_known_yet_is_refused_with_what_it_needs(tmp_path):
    (tmp_path / "a.qwenpack").write_bytes(b'{"qwennb_pack":3,"needs":"qwennb 7.1"}\n')
    with pytest.raises(PackRefused, match=r"newer qwennb.*needs qwennb 7\.1"):
        Pack.read(tmp_path / "a.qwenpack")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--merge"), (("n.ipynb", "--merge", "a.qwenpack"), "notebook"), (("--merge", "no.qwenpack"), "no pack no.qwenpack"),
        (("n.ipynb", "--keep", "newer"), "--keep"), (("--merge", "a.qwenpack", "--keep", "best"), "best"),
    ],
)  # fmt: skip
def test_what_can_not_be_merged_is_told(run, tmp_path, words, says):
    (tmp_path / "n.ipynb").write_text('{"cells":[]}')
    Pack.of([]).write(tmp_path / "a.qwenpack")
    told = run("pack", *words)
    assert told.code == 2 and says in told.err, told.err


def test_a_secret_in_one_of_them_stops_the_merge(run, tmp_path):
    Pack.of([answer_of(0)]).write(tmp_path / "a.qwenpack")
    Pack.of([answer_of(6, "my-plain-token-1")]).write(tmp_path / "b.qwenpack")
    told = run("pack", "--merge", "a.qwenpack", "b.qwenpack", environ={"MY_TOKEN": "my-plain-token-1"})
    assert told.code == 2 and "MY_TOKEN" in told.err and len(Pack.read(tmp_path / "a.qwenpack")) == 1


def test_pictures_beside_the_packs_are_merged_with_them(run, tmp_path):
    for name, content in (("a", "1"), ("b", "2")):
        Pack.of([answer_of(0)]).write(tmp_path / f"{name}.qwenpack")
        (tmp_path / f"{name}.qwenpack.media").mkdir()
        (tmp_path / f"{name}.qwenpack.media" / f"{content * 64}.png").write_text(content)
        (tmp_path / f"{name}.qwenpack.media" / "names").write_text(f"{content * 64}  {content * 64}.png\n")
    done = run("pack", "--merge", "a.qwenpack", "b.qwenpack")
    assert done.code == 0, done.err
    folder = tmp_path / "a.qwenpack.media"
    assert sorted(file.name[:1] for file in folder.glob("*.png")) == ["1", "2"]
    assert len((folder / "names").read_text().splitlines()) == 2 and "a.qwenpack.media: 2 files" in done.out
