"""How the house is kept: names, doors, circles, stops, lines, libraries. Prints a line a figure; `--list` names each case.

    python -m tests.benchmarks.house [--list]
    python -m tests.benchmarks.house --stops cache      each function of that room that one ask and one row pass

Read from the syntax tree alone, but for the stops: those are our functions entered, on all threads, by one warm `ask`
and by one row of a column against the simulator, counted by `sys.setprofile` set before any thread begins.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "qwennb"

# Participles that do not end in -ed. Words that are a verb's plain form as well (read, cut, put, set, let, run) are not here.
IRREGULAR = frozenset(
    [
        "begun",
        "bound",
        "bought",
        "broken",
        "brought",
        "built",
        "caught",
        "chosen",
        "done",
        "drawn",
        "driven",
        "fallen",
        "felt",
        "fetched",
        "found",
        "forgotten",
        "frozen",
        "given",
        "gone",
        "grown",
        "heard",
        "held",
        "hidden",
        "kept",
        "known",
        "laid",
        "led",
        "left",
        "lent",
        "lost",
        "made",
        "meant",
        "met",
        "paid",
        "said",
        "seen",
        "sent",
        "shown",
        "sold",
        "spent",
        "spoken",
        "stood",
        "struck",
        "stuck",
        "sung",
        "sunk",
        "sworn",
        "taken",
        "taught",
        "thought",
        "thrown",
        "told",
        "torn",
        "understood",
        "woken",
        "won",
        "worn",
        "written",
    ]
)
PLAIN_IN_ED = frozenset(
    [
        "bed",
        "bleed",
        "breed",
        "embed",
        "exceed",
        "feed",
        "heed",
        "need",
        "proceed",
        "red",
        "seed",
        "shed",
        "speed",
        "succeed",
        "weed",
    ]
)


def is_participle(name: str) -> bool:
    """Whether the first word of a function's name is a past participle: `asked`, `_told_of_messages`."""
    word = name.strip("_").split("_")[0].lower()
    return word in IRREGULAR or (word.endswith("ed") and len(word) > 3 and word not in PLAIN_IN_ED)


class Module:
    """One file of the package, parsed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.where = path.relative_to(ROOT).as_posix()
        self.name = self.where.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.source = path.read_text()
        self.tree = ast.parse(self.source)

    @property
    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    @property
    def own_names(self) -> set[str]:
        """Every name that this module defines or sets, on itself or on its objects."""
        own: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
                own.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                own.add(node.value)  # __slots__
        return own

    def imports(self, modules: set[str]) -> set[str]:
        """The modules of the package that this one imports, anywhere but for type checkers."""
        found: set[str] = set()
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in _without_type_checking(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        return (found & modules) - {self.name}


def modules() -> list[Module]:
    """The whole package."""
    return [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]


def participles(house: list[Module]) -> tuple[list[str], int]:
    """Functions named by a past participle, and how many functions there are."""
    named = [f"{m.where}: {f.name}" for m in house for f in m.functions if is_participle(f.name)]
    return named, sum(1 for m in house for _ in m.functions)


def underscores(house: list[Module]) -> list[str]:
    """Underscore attributes of another module's objects, and underscore names imported from one of ours."""
    taken = []
    for module in house:
        own = module.own_names
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_self(node.value):
                if node.attr not in own and not _is_foreign(node.value):
                    taken.append(f"{module.where}:{node.lineno}: {ast.unparse(node)}")
            elif isinstance(node, ast.ImportFrom) and (
                node.level or (node.module or "").startswith("qwennb")
            ):
                taken += [
                    f"{module.where}:{node.lineno}: {a.name}" for a in node.names if _is_private(a.name)
                ]
    return taken


def circles(house: list[Module]) -> list[list[str]]:
    """Groups of modules that import each other, functions' own imports included. A package's door is no circle with its rooms."""
    names = {module.name for module in house}
    doors = {module.name for module in house if module.path.name == "__init__.py"}
    graph = {m.name: {n for n in m.imports(names) if n not in doors} for m in house if m.name not in doors}
    return [sorted(group) for group in _strong(graph) if len(group) > 1]


def twice_named(house: list[Module]) -> dict[str, list[str]]:
    """Class names that several modules outside the simulator define."""
    where: dict[str, list[str]] = defaultdict(list)
    for module in house:
        if not module.where.startswith("qwennb/simulator/"):
            for node in module.tree.body:
                if isinstance(node, ast.ClassDef):
                    where[node.name].append(module.where)
    return {name: places for name, places in where.items() if len(places) > 1}


def code_lines(house: list[Module]) -> int:
    """Lines of code outside simulator and widgets, without docstrings, comments and blanks."""
    return sum(
        _code(m) for m in house if not m.where.startswith(("qwennb/simulator/", "qwennb/notebook/widgets/"))
    )


def idle_doors(house: list[Module], tests: list[Module]) -> list[str]:
    """Names in a room's door that nobody outside of that room takes from it."""
    attributes: set[str] = set()
    taken: dict[str, set[str]] = defaultdict(set)
    for module in [*house, *tests]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute):
                attributes.add(node.attr)  # of a room that is taken whole: `request.SETTINGS`
            elif module.name == "qwennb" and isinstance(node, ast.Constant):
                attributes.add(str(node.value))  # it loads names when they are first used
            elif isinstance(node, ast.ImportFrom) and not f"{module.name}.".startswith(f"{node.module}."):
                taken[node.module or ""].update(alias.name for alias in node.names)
    doors = [m for m in house if m.path.name == "__init__.py" and m.path.parent != PACKAGE]
    return [
        f"{door.name}: {alias.asname or alias.name}"
        for door in doors
        for node in door.tree.body
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{door.name}.")
        for alias in node.names
        if (alias.asname or alias.name) not in taken[door.name] | attributes
    ]


def undeclared(house: list[Module]) -> list[str]:
    """Libraries that the package imports and pyproject.toml does not name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(one for name, listed in extras.items() if name != "dev" for one in listed),
    ]
    declared = {_plain(re.split(r"[\s<>=!~;\[]", one)[0]) for one in wanted}
    owners = packages_distributions()
    found: dict[str, str] = {}
    for module in house:
        for node in ast.walk(module.tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top in (
                    "qwennb",
                    "compression",
                ):  # `compression`: Python 3.14
                    continue
                if not {_plain(owner) for owner in owners.get(top, [top])} & declared:
                    found.setdefault(top, f"{top} ({module.where})")
    return sorted(found.values())


# ---------------------------------------------------------------------- stops

_PROBE = """
import sys, threading, tempfile, os
calls = []
def profile(frame, event, argument):
    if event == "call":
        code = frame.f_code
        if PACKAGE in code.co_filename and "/simulator/" not in code.co_filename:
            calls.append((code.co_filename, code.co_qualname, code.co_firstlineno))
PACKAGE = os.sep + "qwennb" + os.sep
threading.setprofile(profile); sys.setprofile(profile)
import polars as pl
import qwennb
from qwennb import Qwen
from qwennb.simulator import Simulator
with Simulator("openrouter", api_key="sk-sim") as sim, tempfile.TemporaryDirectory() as folder:
    qwen = Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-sim", cache_dir=folder, model="qwen3.5-flash")
    WARM
    calls.clear()
    ASKED
    seen = set(calls)
for file, name, _ in sorted(seen, key=calls.index):
    print("passes", file.split(PACKAGE)[-1], name)
print(len(seen), len({one[0] for one in seen}))
"""
ASK = ('qwen.ask("warm"); qwen.ask("warmer")', 'qwen.ask("counted")')
ROW = (
    'pl.DataFrame({"a": ["x", "y"]}).qwen.ask("Say {{ a }}", client=qwen, progress=False)',
    'pl.DataFrame({"a": ["z"]}).qwen.ask("Say {{ a }}", client=qwen, progress=False)',
)


def stops(warm: str, asked: str, room: str = "") -> tuple[int, int]:
    """Our functions, and our files, that a warm question passes on its way out and back; those of *room* are printed."""
    script = _PROBE.replace("WARM", warm).replace("ASKED", asked)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    passed = [line.split() for line in ran.stdout.splitlines() if line.startswith("passes ")]
    for _, file, name in passed:
        if room and file.startswith(f"{room}/"):
            print(f"    {file} {name}")
    functions, files = ran.stdout.split()[-2:]
    return int(functions), int(files)


# ---------------------------------------------------------------------- reading the tree


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


NAMEDTUPLE = frozenset(("_replace", "_fields", "_asdict"))  # underscored by Python, and meant to be used


def _is_private(name: str) -> bool:
    # A name that ends with an underscore too is a protocol's, as IPython's `_repr_html_`: it is there to be set by others.
    return name not in NAMEDTUPLE and name.startswith("_") and not name.endswith("_")


def _is_foreign(node: ast.expr) -> bool:
    """Whether this is a module of the standard library: `sys._getframe`, `os._exit`."""
    return isinstance(node, ast.Name) and node.id in sys.stdlib_module_names


def _without_type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


def _strong(graph: dict[str, set[str]]) -> list[set[str]]:
    """The strongly connected groups of *graph*, by reachability: it is small."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for after in graph.get(todo.pop(), ()):
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        reach[start] = seen
    groups, done = [], set()
    for name in graph:
        if name not in done:
            group = {name} | {other for other in reach[name] if name in reach.get(other, ())}
            done |= group
            groups.append(group)
    return groups


def _code(module: Module) -> int:
    """Lines with code on them."""
    lines = {
        number
        for number, line in enumerate(module.source.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def main() -> None:
    """Print the figures; with --list, each case too."""
    if "--stops" in sys.argv:
        room = sys.argv[sys.argv.index("--stops") + 1]
        for what, (warm, asked) in (("ask", ASK), ("row of a column", ROW)):
            print(f"one warm {what} passes in {room}/:")
            stops(warm, asked, room)
        return
    listing = "--list" in sys.argv
    house = modules()
    named, functions = participles(house)
    taken, round_, twice, missing = underscores(house), circles(house), twice_named(house), undeclared(house)

    def say(figure: str, cases: list[str]) -> None:
        print(figure)
        if listing:
            print("".join(f"    {case}\n" for case in cases), end="")

    say(
        f"functions named by a past participle: {len(named) / functions:.1%} of {functions:,} (under 2 %)",
        named,
    )
    say(f"underscore names taken across modules: {len(taken)} (0)", taken)
    say(f"import circles: {len(round_)} (0)", [" ".join(one) for one in round_])
    say(
        f"class names used in several modules: {len(twice)} (0)",
        [f"{n}: {' '.join(w)}" for n, w in twice.items()],
    )
    say(f"libraries imported and not declared: {len(missing)} (0)", missing)
    print(f"lines of code outside simulator and widgets: {code_lines(house):,}")
    for what, (warm, asked), most in (("ask", ASK, (190, 30)), ("row of a column", ROW, (200, 32))):
        count, files = stops(warm, asked)
        print(f"one warm {what} passes {count} functions in {files} files (at most {most[0]} in {most[1]})")


if __name__ == "__main__":
    main()
