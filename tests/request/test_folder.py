"""Folders and patterns among files=: what is read, in which order, what is left out and told, what is refused."""

from __future__ import annotations

import os
import subprocess

import pytest

from qwennb import Document, Image
from qwennb.errors import BadInput, MediaError
from qwennb.request import read_files
from tests.papers import pdf

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
KEY = "sk-" + "a1B2" * 8


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write files, by name and content, below the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


def names(given, environ=None):
    return [medium.name for medium in read_files(given, environ or {})[0]]


def told(given):
    return read_files(given, {})[1]


def test_a_folder_is_its_documents_sorted_by_name_and_called_from_the_folder_on(tree):
    root = tree(src__b_dot_py="b", src__a_dot_md="a", src__sub__c_dot_txt="c", src__Z_dot_py="z", other="x")
    assert (
        names("src/")
        == names("src")
        == names(root / "src")
        == ["src/Z.py", "src/a.md", "src/b.py", "src/sub/c.txt"]
    )
    assert names("./src/sub") == ["sub/c.txt"]
    assert told("src") == []


def test_the_same_folder_elsewhere_is_the_same_question(tree):
    root = tree(one__src__a="a", two__deep__src__a="a")
    assert (
        read_files("one/src", {})[0][0].to_json()
        == read_files(root / "two" / "deep" / "src", {})[0][0].to_json()
    )


def test_a_pdf_in_a_folder_is_called_by_its_name_and_one_alone_is_not(tree):
    tree(docs__r_dot_pdf=pdf("x"))
    (document,) = read_files("docs", {})[0]
    assert isinstance(document, Document) and (document.name, document.kind) == ("docs/r.pdf", "pdf")
    assert "name" not in read_files("docs/r.pdf", {})[0][0].to_json()


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.md", ["a.md"]), ("**/*.md", ["a.md", "docs/b.md", "docs/deep/c.md"]), ("docs/*.md", ["docs/b.md"]),
        ("docs/**", ["docs/b.md", "docs/d1.txt", "docs/deep/c.md"]), ("docs/d?.txt", ["docs/d1.txt"]),
        ("docs/[!x]*.txt", ["docs/d1.txt"]), ("d*/**/c.md", ["docs/deep/c.md"]), ("docs/[a-c].md", ["docs/b.md"]),
        ("./docs/*.md", ["docs/b.md"]), ("docs/deep/../*.md", ["docs/b.md"]),
    ],
)  # fmt: skip
def test_a_pattern_is_what_it_matches(tree, pattern, found):
    tree(a_dot_md="a", docs__b_dot_md="b", docs__deep__c_dot_md="c", docs__d1_dot_txt="d")
    assert names(pattern) == found


def test_an_absolute_pattern_shows_no_path_of_this_machine(tree):
    root = tree(docs__b_dot_md="b")
    assert names(f"{root}/docs/*.md") == names(f"{root}/docs/") == ["docs/b.md"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree):
    tree(**{"a[1].md": "x", "!b.md": "y"})
    assert names("a[1].md") == ["a[1].md"] and names("!b.md") == ["!b.md"]


def test_what_is_left_out_is_counted_and_told_in_one_sentence(tree):
    root = tree(src__a_dot_py="a", src__p_dot_png=PNG, src__x_dot_bin=b"\0\1\2", src__e="", src__old_dot_txt=b"caf\xe9",
                src___dot_gitignore="*.log\nbuild/\n", src__l_dot_log="l", src__build__b="b", src___dot_git__config="g",
                src__logo_dot_svg='<svg xmlns="x"></svg>')  # fmt: skip
    os.symlink("a.py", root / "src" / "link.py")
    os.mkfifo(root / "src" / "pipe")
    (sentence,) = told("src/")
    assert sentence == (
        "Of src/, 1 file is sent. Left out: 2 ignored by .gitignore, 2 hidden, 3 that are no documents (pictures, binaries), 1 whose "
        "text is not UTF-8, 1 empty, 1 a link, 1 that can't be read."
    )


def test_a_pattern_tells_only_of_what_it_means_and_takes_pictures(tree):
    tree(src__a_dot_py="a", src__p_dot_png=PNG, src___dot_hidden="h", src__b_dot_png=b"\0\1")
    assert told("src/*.py") == []
    media, left_out = read_files("src/*.png", {})
    assert [type(one) for one in media] == [Image]
    assert left_out == [
        "Of src/*.png, 1 file is sent. Left out: 1 that is no document (a picture, a binary)."
    ]


def test_nested_rules_and_those_above_hold_as_git_has_them(tree):
    root = tree(
        _dot_gitignore="*.log\n!keep.log\n/top.txt\nout/\n", pkg___dot_gitignore="!special.log\n*.tmp\n# a note\n\\#odd\n",
        pkg__a_dot_log="x", pkg__keep_dot_log="x", pkg__special_dot_log="x", pkg__b_dot_tmp="x", pkg__top_dot_txt="x",
        pkg__out__in_dot_txt="x", pkg__sub__deep_dot_tmp="x", pkg__sub___dot_gitignore="!deep.tmp", pkg__c_dot_py="x", top_dot_txt="x",
    )  # fmt: skip
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "pkg"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    expected = sorted(name for name in listed if not os.path.basename(name).startswith("."))
    assert (
        names("pkg")
        == expected
        == ["pkg/c.py", "pkg/keep.log", "pkg/special.log", "pkg/sub/deep.tmp", "pkg/top.txt"]
    )


def test_rules_of_folders_above_count_only_in_a_repository(tree):
    tree(_dot_gitignore="*.log\n", pkg__a_dot_log="x")
    assert names("pkg") == ["pkg/a.log"]


def test_an_odd_gitignore_breaks_nothing(tree):
    root = tree(src__a_dot_py="a", src___dot_gitignore=b"\xff\xfe\n[\n!\n//\n**\0\n")
    assert names("src") == ["src/a.py"]
    (root / "src" / ".gitignore").unlink()
    os.mkfifo(root / "src" / ".gitignore")
    assert names("src") == ["src/a.py"]


def test_no_link_leads_out_of_the_folder(tree):
    root = tree(secret__key="k", src__a="a")
    os.symlink(root / "secret", root / "src" / "folder")
    os.symlink(root / "secret" / "key", root / "src" / "file")
    os.symlink(root / "src", root / "src" / "loop")
    assert names("src") == names("src/**") == ["src/a"]


def test_hidden_files_are_read_where_they_are_asked_for_by_name(tree):
    tree(_dot_github__ci_dot_yml="x", _dot_env="x", a="a")
    assert names(".github") == [".github/ci.yml"] and names(".e*") == [".env"]


def test_a_secret_is_refused_with_file_and_line_and_how_to_leave_it_out(tree):
    tree(src__a_dot_py="x", src__conf__s_dot_py=f"\n\nKEY = '{KEY}'\n", src__t_dot_py=f"'{KEY}'")
    with pytest.raises(MediaError) as raised:
        read_files("src/", {})
    assert str(raised.value) == (
        "src/conf/s.py holds an API key (sk-…) in line 3, and 1 more file of src/ holds one too; nothing is sent. Take it out, or leave "
        'the file out: files=["src/", "!conf/s.py", "!t.py"]'
    )
    assert names(["src/", "!conf/s.py", "!t.py"]) == ["src/a.py"]
    assert names(["src/", "!src/conf/", "!t.*"]) == ["src/a.py"]


def test_the_value_of_a_key_in_the_environment_is_a_secret_too(tree):
    tree(src__a_dot_py="password is hunter2hunter2")
    assert names("src") == ["src/a.py"]
    with pytest.raises(MediaError, match=r"src/a\.py holds the value of DB_PASSWORD in line 1") as raised:
        read_files("src", {"DB_PASSWORD": "hunter2hunter2"})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere/*.md", r"no file matches nowhere/\*\.md: there is no folder nowhere; check the pattern"),
        ("src/*.docx", r"no file matches src/\*\.docx; check the pattern and the current folder"),
        ("bare", r"bare has nothing that can be read \(it is empty\); give a file, or another folder"),
        ("pictures", r"pictures has nothing that can be read \(left out: 1 that is no document"),
        ("missing.md", r"there is no file missing\.md; check the path and the current folder"),
        ("missing/", r"there is no file missing/; check"),
        (["!a.py"], r"!a\.py leaves something out of a folder, and no folder is given"),
        ("[z-a]*", r"is no pattern of names"),
        ({"a": 1}, "files= takes a list, not a dict"),
    ],
)
def test_what_stands_for_nothing_is_told_in_one_sentence(tree, given, words):
    root = tree(src__a_dot_py="a", pictures__p_dot_png=PNG)
    (root / "bare").mkdir()
    with pytest.raises(BadInput, match=words) as raised:
        read_files(given, {})
    assert "\n" not in str(raised.value)


def test_hostile_names_are_plain_lines_and_the_order_is_the_same_everywhere(tree):
    root = tree(src__ok="x")
    for name in (
        "new\nline.md",
        "\x1b[31mred.md",
        "ünï.md",
        b"caf\xe9.md".decode("utf-8", "surrogateescape"),
        "[page 1].md",
    ):
        (root / "src" / name).write_text("x")
    found = names("src")
    assert len(found) == 6 and all("\n" not in name and "\x1b" not in name for name in found)
    assert found == names("src/*")
