"""Tables as `{{ df }}` says them: CSV, Parquet, and the sheets of a workbook.

CSV is text, and no larger than it is: it is read here. A few bytes of Parquet or of a workbook may stand for billions of cells:
these are read by `frame_child.py`. Workbooks are read with calamine (3 MB); openpyxl (2 MB) needs twenty times as long.
"""

from __future__ import annotations

import io
import re

from qwennb.documents.child import ask_child, is_installed
from qwennb.documents.document import PageText
from qwennb.documents.frame import frame_text
from qwennb.documents.office import OfficeFile
from qwennb.documents.plain import check_no_pages, decode_text
from qwennb.errors import MediaError

_MOST_COLUMNS = 10_000
_LONGEST_HEAD = 1_000_000  # characters
_SEPARATORS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*+(?:"|$)')


def read_csv(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read a text of rows and columns; its separator is the one that its first line has most of."""
    check_no_pages(name, pages)
    import polars as pl

    text = decode_text(content, name)
    head, _, _ = text[: _LONGEST_HEAD + 1].partition("\n")
    counts = {sign: _QUOTED.sub("", head).count(sign) for sign in _SEPARATORS}
    separator = max(counts, key=lambda sign: counts[sign])
    if len(head) > _LONGEST_HEAD or counts[separator] >= _MOST_COLUMNS:
        raise MediaError(
            f"{name} has more than {_MOST_COLUMNS:,} columns or {_LONGEST_HEAD:,} characters in its first line; give it as text, "
            "or columns of it as a frame"
        )
    try:
        frame = pl.read_csv(io.BytesIO(text.encode()), separator=separator, infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError) as error:
        why = str(error).split("\n", 1)[0]
        raise MediaError(
            f"{name} is no table that can be read ({why}); name it .txt to give it as text"
        ) from None
    return (PageText(None, "", frame_text(frame)),)


def read_parquet(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read a Parquet file."""
    check_no_pages(name, pages)
    first, *rest = ask_child(
        "frame_child.py", content, name, ("polars", "qwennb"), kind="parquet", wanted=None
    )
    if "broken" in first:
        raise MediaError(f"{name} is no Parquet file that can be read ({first['broken']}); write it anew")
    return (PageText(None, "", rest[0]["text"]),)


def read_xlsx(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read the sheets that were asked for, all of them without *pages*."""
    if not is_installed("python_calamine"):
        raise MediaError(
            f'the sheets of {name} need python-calamine, which is not installed; type: pip install "qwennb[office]"'
        )
    OfficeFile(content, name)
    libraries = ("polars", "qwennb", "python_calamine")
    first, *rest = ask_child("frame_child.py", content, name, libraries, kind="xlsx", wanted=pages)
    if "locked" in first:
        raise MediaError(f"{name} is locked with a password; save it without one")
    told = rest[-1] if rest else first
    if "broken" in told:
        raise MediaError(f"{name} is no workbook that can be read ({told['broken']}); save it anew")
    count = first["count"]
    if pages is not None and max(pages) > count:
        raise MediaError(f"{name} has {count} sheets; there is no sheet {max(pages)}")
    return tuple(PageText(sheet["number"], sheet["title"], sheet["text"]) for sheet in rest)
