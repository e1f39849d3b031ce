"""`qwennb local`: fetch, serve and list models that run on this machine."""

from __future__ import annotations

from typing import Any

from qwennb.cli.command import Parser
from qwennb.cli.text import amount, table, wrapped
from qwennb.cli.world import World
from qwennb.config import Config
from qwennb.endpoints.local import BUNDLED, LocalServer, Progress, find, installed
from qwennb.endpoints.local import pull as fetch
from qwennb.errors import BadInput, UnknownEndpoint

_WHICH = f"{BUNDLED.file.name} (the default), hub:owner/repository/file.gguf, or the path of a .gguf file"


def pull_options(parser: Parser) -> None:
    """The options of `qwennb local pull`."""
    parser.add_argument("model", nargs="?", help=_WHICH)


def pull(given: Any, world: World) -> int:
    """Fetch a model, going on where an earlier fetch broke off."""
    progress = _Progress(world)
    model = fetch(given.model, cache_dir=world.config().cache_dir, say=progress, environ=world.environ)
    progress.end()
    world.say(f"{model.file.name} is here ({amount(model.file.size)}, sha256 {model.file.sha256[:12]}…).")
    if not installed():
        world.say('To run it, type: pip install "qwennb[local]"')
    return 0


class _Progress:
    """How far a fetch is: one line that moves on a terminal, else a line for each tenth."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._moves = world.err.isatty()
        self._tenth = -1

    def __call__(self, progress: Progress) -> None:
        tenth = 10 * progress.done // max(progress.file.size, 1)
        if self._tenth < 0:
            self._world.note(f"Fetching {progress.file}")
        if self._moves:
            self._world.err.write(f"\r{progress}")
            self._world.err.flush()
        elif tenth > self._tenth:
            self._world.note(str(progress))
        self._tenth = max(tenth, self._tenth)

    def end(self) -> None:
        """Leave the moving line."""
        if self._moves and self._tenth >= 0:
            self._world.note("")


def serve_options(parser: Parser) -> None:
    """The options of `qwennb local serve`."""
    parser.add_argument("model", nargs="?", help=_WHICH)
    parser.add_argument(
        "--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: any free port)"
    )
    parser.add_argument(
        "--context", type=int, default=8192, help="tokens for one request with its answer (default: 8192)"
    )
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time (default: 4)")


def serve(given: Any, world: World) -> int:
    """Serve a model until interrupted. The key is QWENNB_API_KEY, else one made for this run."""
    for name in ("context", "parallel"):
        if getattr(given, name) < 1:
            raise BadInput(f"--{name} {getattr(given, name)} must be above 0.")
    if not installed():
        raise UnknownEndpoint('llama.cpp is not installed here. Type: pip install "qwennb[local]"')
    config = world.config()
    model = find(given.model, cache_dir=config.cache_dir)
    server = LocalServer(
        model, context=given.context, parallel=given.parallel, port=given.port, key=config.api_key
    )
    url = server.start()
    try:
        # A key that was made for this run has to be told somewhere; one of the user's own is not repeated.
        key = "" if config.api_key is not None else f" QWENNB_API_KEY={server.key.reveal()}"
        world.say(
            f"{model.file.name} is served at {url}",
            f"  QWENNB_ENDPOINT=llama.cpp+{url}{key}",
            "Ctrl-C stops it.",
        )
        server.wait()
        world.note(f"llama.cpp ended. Its log is {model.log}")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        server.close()


def listed(given: Any, world: World) -> int:
    """Print the models that are here, and the one that can be fetched."""
    here = models_here(world.config())
    rows = [("model", "size", ""), *((name, amount(size), "here") for name, size in here)]
    if all(name != BUNDLED.file.name for name, _ in here):
        rows.append((BUNDLED.file.name, amount(BUNDLED.file.size), "not here: qwennb local pull"))
    world.say(*table(rows, right=(1,)))
    world.say(*wrapped(f"{BUNDLED.file.name} is {BUNDLED.file.origin}. Licence: {BUNDLED.file.licence}."))
    if not installed():
        world.say('  llama.cpp, which runs them, is not installed: pip install "qwennb[local]"')
    return 0


def models_here(config: Config) -> list[tuple[str, int]]:
    """Name and size of each model file in the cache folder. Nothing is opened: a hash takes seconds."""
    files = sorted((config.cache_dir / "models").glob("*.gguf"))
    return [
        (file.stem[17:], file.stat().st_size) for file in files
    ]  # before the name stand 16 digits of its hash
