"""Other libraries' private ground: where we stand on it, and that it still bears.

Each name is listed in docs/contributing.md, in the same words. A test here fails loudly when a library moves it, and says what
of ours rests on it; the test below compares the list with the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import threading
from pathlib import Path

import pytest

from tests.test_docs import ROOT, first_column

CONTRIBUTING = ROOT / "docs" / "contributing.md"
STANDARD = {"_getframe", "_current_frames", "_exit", "_replace", "_fields"}
"""Python's own, documented though they begin with an underscore."""


def taken() -> dict[str, str]:
    """Each underscore attribute of another's object that the package takes, and where."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "qwennb").rglob("*.py")}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    ours = {
        node.name
        for _, node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    ours |= {node.id for _, node in nodes if isinstance(node, ast.Name)}
    # What a class of ours has for another library is that library's.
    ours -= {name.rpartition(".")[2] for name in listed()}
    attributes = [(path, node) for path, node in nodes if isinstance(node, ast.Attribute)]
    own = {"self", "cls", "made", "twin"}
    ours |= {n.attr for _, n in attributes if isinstance(n.value, ast.Name) and n.value.id in own}
    return {
        node.attr: f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in attributes
        if re.match(r"_[a-zA-Z]", node.attr) and node.attr not in ours | STANDARD
    }


def listed() -> set[str]:
    return set(first_column(CONTRIBUTING, "Other libraries' private ground"))


@pytest.mark.slow
def test_every_underscore_of_another_library_is_listed_and_no_other():
    names = {name.rpartition(".")[2] for name in listed()}
    assert {name: place for name, place in taken().items() if name not in names} == {}
    assert {name for name in names if name.startswith("_")} <= taken().keys()


def test_every_name_that_is_listed_has_its_test():
    tests = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in listed() if name.rpartition(".")[2] not in tests} == set()


def test_polars_tells_where_a_lazy_plan_writes(tmp_path):
    """`LazyFrame._ldf`: by it the half-written file of a sink that stopped is found and removed."""
    import json

    import polars as pl

    plan = pl.LazyFrame({"a": [1]}).sink_parquet(tmp_path / "a.parquet", lazy=True)
    told = json.loads(plan._ldf.visit().view_current_node().payload)
    assert told["File"]["target"]["inner"] == str(tmp_path / "a.parquet")


def test_the_calls_of_polars_have_the_names_by_which_they_are_known():
    """`path` and `lazy_frames` are read out of the frames of polars' own functions, to know which call is under way."""
    import polars as pl

    for name in ("sink_parquet", "sink_csv", "sink_ndjson", "sink_ipc"):
        assert "path" in inspect.signature(getattr(pl.LazyFrame, name)).parameters
    assert "lazy_frames" in inspect.signature(pl.collect_all).parameters
    assert Path(inspect.unwrap(pl.LazyFrame.collect).__code__.co_filename).is_relative_to(
        Path(pl.__file__).parent
    )


def test_what_polars_calls_can_see_the_call_that_called_it():
    """Exactly once rests on it: on whichever thread our function runs, some stack holds the call into polars."""
    import polars as pl

    seen = []

    def look(value):
        names = set()
        for frame in sys._current_frames().values():
            while frame is not None:
                names.add(frame.f_code.co_name)
                frame = frame.f_back
        seen.append("collect" in names)
        return value

    pl.LazyFrame({"a": [1]}).select(pl.col("a").map_batches(look, return_dtype=pl.Int64)).collect()
    assert seen == [True]


def test_a_kernels_comm_can_be_answered_beside_the_cell():
    """`comm._reply_subshell_for`: Stop is heard while a cell runs. Kernels before 7.4 answer there by themselves."""
    import ipykernel
    from ipykernel.comm.comm import BaseComm

    if ipykernel.version_info < (7, 4):
        pytest.skip("this ipykernel has nothing of the kind, and needs nothing")
    assert list(inspect.signature(BaseComm._reply_subshell_for).parameters) == ["self", "data", "default"]


def test_a_kernel_compiles_a_cell_under_the_name_that_we_compute():
    """`get_tmp_hash_seed`, `murmur2_x86`: an attempt to reach the network is told at its cell by that name."""
    from ipykernel.compiler import get_file_name, get_tmp_hash_seed, murmur2_x86

    code = "x = 1\n"
    assert Path(get_file_name(code)).name == f"{murmur2_x86(code, get_tmp_hash_seed())}.py"
    assert Path(get_file_name(code)).parent.name.startswith("ipykernel_")


def test_a_kernel_manager_starts_the_kernel_that_it_is_given():
    """`KernelManager._kernel_spec`: this interpreter's own kernel, whatever is installed under the name python3."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager._kernel_spec = KernelSpec(argv=["the one"], display_name="x", language="python")
    assert manager.kernel_spec.argv == ["the one"]


def test_nbval_has_what_verify_is_made_of():
    """`RunningKernel`, `IPyNbFile`, `IPyNbCell`, `NbCellError`, `coalesce_streams`: nbval documents none of them."""
    from nbformat.v4 import new_output
    from nbval.kernel import RunningKernel
    from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError, coalesce_streams

    assert {"runtest", "compare_outputs", "repr_failure"} <= set(dir(IPyNbCell))
    assert {"collect", "setup", "teardown"} <= set(dir(IPyNbFile))
    assert {"execute_cell_input", "get_message", "interrupt", "stop", "is_alive"} <= set(dir(RunningKernel))
    assert issubclass(NbCellError, Exception)
    (both,) = coalesce_streams([new_output("stream", text="a"), new_output("stream", text="b")])
    assert both.text == "ab"


def test_ipython_has_the_lists_into_which_we_put_ourselves():
    """`events.callbacks`, `token_transformers`, `custom_matchers`, `magics_manager.magics`: lists, and unloading takes out what loading put in."""
    from IPython.core.completer import IPCompleter
    from IPython.core.events import EventManager
    from IPython.core.inputtransformer2 import EscapedCommand, TransformerManager
    from IPython.core.magic import MagicsManager

    assert isinstance(TransformerManager().token_transformers, list)
    assert EscapedCommand in TransformerManager().token_transformers and EscapedCommand.priority > 1
    assert isinstance(EventManager(None, {"post_execute": None}).callbacks["post_execute"], list)
    assert isinstance(IPCompleter(namespace={}, global_namespace={}).custom_matchers, list)
    assert MagicsManager().magics == {"line": {}, "cell": {}}


def test_ipython_shows_an_error_in_the_one_line_that_it_brings():
    """`_render_traceback_`: documented by IPython; our errors are one sentence in a notebook by it."""
    from IPython.core.interactiveshell import InteractiveShell

    assert "_render_traceback_" in inspect.getsource(InteractiveShell.showtraceback)


def test_diskcache_stores_bytes_as_they_are():
    """`diskcache.core.MODE_RAW`: the mode of every value that we store, and of no other."""
    import diskcache

    assert diskcache.core.MODE_RAW == 1
    assert {"store", "fetch", "put", "get"} <= set(dir(diskcache.Disk))


def test_the_stack_of_another_thread_can_be_read():
    """`sys._current_frames` is documented, and CPython's alone: where it is missing, nothing of a column works."""
    assert threading.get_ident() in sys._current_frames()
