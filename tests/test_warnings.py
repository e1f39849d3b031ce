"""A warning stands at the user's own line, wherever in qwennb it comes from."""

from __future__ import annotations

import warnings

import pytest

from qwennb.warn import warn_user

DEEP = """
from qwennb.warn import warn_user
def go():
    warn_user("Mind the gap.", UserWarning)
"""


def code(source, name, file):
    """The names that *source* makes, as a module called *name* in *file* would."""
    names = {"__name__": name}
    exec(compile(source, file, "exec"), names)
    return names


def test_a_warning_stands_at_the_first_line_that_is_not_ours_nor_ipythons():
    ours = code(DEEP, "qwennb.deep", "/ours.py")
    shell = code("def run(go):\n    go()", "IPython.core.interactiveshell", "/shell.py")
    theirs = code("def main(run, go):\n\n    run(go)", "analysis", "/home/ada/analysis.py")
    with pytest.warns(UserWarning, match="Mind the gap") as told:
        theirs["main"](shell["run"], ours["go"])
    assert (told[0].filename, told[0].lineno) == ("/home/ada/analysis.py", 3)


@pytest.mark.parametrize("file", ["/tmp/ipykernel_4711/209480.py", "<ipython-input-3-a1b2c3>"])
def test_a_cell_is_called_the_same_in_every_kernel_and_each_time_told(file):
    ours = code(DEEP, "qwennb.deep", "/ours.py")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(2):
            exec(compile("\ngo()", file, "exec"), {"__name__": "__main__", "go": ours["go"]})
    assert [(one.filename, one.lineno) for one in told] == [("cell", 2)] * 2


def test_a_warning_of_a_test_stands_in_the_test():
    with pytest.warns(UserWarning) as told:
        warn_user("Mind the gap.", UserWarning)
    assert told[0].filename == __file__
