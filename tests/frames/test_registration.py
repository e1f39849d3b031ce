"""`import qwennb` is light and registers the namespaces, whichever of polars and qwennb comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

# On the class, so that only the registration is looked at, and the room behind it stays unloaded.
SHOW = "print(*(kind.qwen.__name__ for kind in (pl.DataFrame, pl.LazyFrame, pl.Series, pl.Expr)))"
ALL_FOUR = "_frame _frame _series _expr"


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "imports",
    [
        "import polars as pl; import qwennb",
        "import qwennb; from polars import col; import polars as pl",
        "import qwennb; del __import__('sys').modules['qwennb']; import qwennb; import polars as pl",
    ],
)
def test_both_orders_of_import_register_the_namespaces(imports):
    assert python(f"{imports}; {SHOW}") == ALL_FOUR


@pytest.mark.slow
def test_the_room_is_loaded_with_its_first_use():
    code = (
        "import qwennb, sys, polars as pl; before = 'qwennb.frames' in sys.modules;"
        "print(before, *(type(x.qwen).__name__ for x in (pl.DataFrame(), pl.LazyFrame(), pl.col('a'))))"
    )
    assert python(code) == "False QwenFrame QwenFrame QwenExpr"


def test_importing_qwennb_imports_neither_polars_nor_what_asking_needs():
    heavy = [
        "polars",
        "openai",
        "httptools",
        "diskcache",
        "pydantic",
        "IPython",
        "qwennb.frames",
        "qwennb.client",
    ]
    assert python(f"import qwennb, sys; print([m for m in {heavy} if m in sys.modules])") == "[]"


@pytest.mark.slow
def test_the_waiting_finders_leave_nothing_behind():
    code = (
        "import sys; before = list(sys.meta_path); import qwennb, polars, pandas;"
        "print(sys.meta_path == before, *(type(x).__name__ for lib in (polars, pandas) for x in (lib.__spec__.loader, lib.__loader__)))"
    )
    assert python(code) == "True" + 4 * " SourceFileLoader"


@pytest.mark.parametrize(
    "imports", ["import pandas as pd; import qwennb", "import qwennb; import pandas as pd"]
)
def test_pandas_has_the_accessor_in_both_orders_and_is_not_imported_by_us(imports):
    code = "; import sys; print('polars' in sys.modules, pd.DataFrame.qwen.__name__, pd.Series.qwen.__name__)"
    assert python(imports + code) == "False _frame _series"


@pytest.mark.slow
def test_asking_over_polars_imports_neither_pandas_nor_narwhals():
    code = (
        "import polars as pl, qwennb, sys; from qwennb.simulator import Simulator\n"
        "with Simulator('vllm') as sim:\n"
        "    qwen = qwennb.Qwen(endpoint=f'vllm+{sim.base_url}', cache='off')\n"
        "    pl.DataFrame({'a': ['x']}).qwen.classify('a', ['yes', 'no'], client=qwen)\n"
        "print([name for name in ('pandas', 'narwhals', 'pyarrow', 'duckdb') if name in sys.modules])"
    )
    assert python(code) == "[]"


def test_polars_can_still_be_looked_for_without_being_imported():
    code = "import qwennb, importlib.util as u, sys; print(u.find_spec('polars').name, 'polars' in sys.modules); import polars as pl; "
    assert python(code + SHOW).splitlines() == ["polars False", ALL_FOUR]


def test_two_threads_that_import_at_once_both_see_the_namespaces():
    code = (
        "import qwennb, threading\n"
        "seen = []\n"
        "def look():\n"
        "    import polars as pl\n"
        "    seen.append(hasattr(pl.DataFrame, 'qwen'))\n"
        "threads = [threading.Thread(target=look) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(seen)"
    )
    assert python(code) == "[True, True, True, True]"
