"""What `import qwennb` loads, and how long it takes."""

import importlib.resources
import os
import statistics
import subprocess
import sys

import pytest

HEAVY = (
    "openai",
    "polars",
    "IPython",
    "ipywidgets",
    "httptools",
    "pydantic",
    "jsonschema",
    "PIL",
    "numpy",
    "pandas",
    "diskcache",
)


def loaded(statement):
    """The heavy packages that *statement* loads in a fresh interpreter."""
    program = f"import sys\n{statement}\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) & set(HEAVY)


@pytest.mark.parametrize(
    "statement",
    [
        "import qwennb",
        "import qwennb; dir(qwennb); qwennb.__version__",
        "from qwennb.config import Config; Config.load()",
        "import qwennb.request",
        "import qwennb.answer",
        "import qwennb.catalog",
        "from qwennb.request import *; Request('m', (user_message('{{ a }}', {'a': {'b': 1.5}}),)).key",
        "from qwennb.answer import *; f = Fold(); f.add(Chunk('<think>a</think>b')); f.draft()",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(statement):
    assert loaded(statement) == set()


def test_a_mistake_loads_what_finds_the_nearest_name_and_nothing_heavy():
    assert loaded("from qwennb.errors import nearest; assert nearest('modl', ['model'])") == set()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="Windows counts otherwise")
def test_importing_qwennb_takes_at_most_sixty_milliseconds(tmp_path):
    """Of the processor, above the interpreter itself; the median of fifteen: what else the machine does counts for nothing."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    def seconds(statement):
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", statement], environ)
        _, status, used = os.wait4(pid, 0)
        assert status == 0
        return used.ru_utime + used.ru_stime

    seconds("import qwennb")
    extra = [seconds("import qwennb") - seconds("pass") for _ in range(15)]
    assert statistics.median(extra) <= 0.060, sorted(extra)


def test_type_checkers_are_told_that_the_package_has_types():
    assert importlib.resources.files("qwennb").joinpath("py.typed").is_file()
