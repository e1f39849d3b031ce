"""`qwennb local`: fetch, serve and list models that run on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.config import Config, default_cache_dir
from qwennb.endpoints.local import (
    BUNDLED,
    SMALL,
    SMALL_NAME,
    DownloadProgress,
    LocalServer,
    ModelFile,
    describe_small,
    find,
    is_installed,
    pull,
)
from qwennb.errors import BadInput, QwenError, UnknownEndpoint, UnknownModel
from qwennb.text import amount, table, wrap

_WHICH = f"{BUNDLED.file.name} (the default), {SMALL_NAME}, hub:owner/repository/file.gguf, or the path of a .gguf file"


def local_pull_options(parser: Parser) -> None:
    """Add the options of `qwennb local pull`."""
    parser.add_argument("model", nargs="?", help=_WHICH)


def local_pull(given: Any, world: World) -> int:
    """Fetch a model, going on where an earlier fetch broke off."""
    progress, home = _Progress(world), default_cache_dir(world.environ)
    wanted = _offer_small(world, home) if given.model is None else given.model
    model = pull(wanted, cache_dir=home, say=progress, environ=world.environ)
    progress.end()
    world.say(f"{model.file.name} is here ({amount(model.file.size)}, sha256 {model.file.sha256[:12]}…).")
    if not is_installed():
        world.say('To run it, type: pip install "qwennb[local]"')
    return 0


def _offer_small(world: World, home: Path) -> str | None:
    """Offer the small Qwen 3.5 where nothing is here and the hub can be reached; None, for the bundled model, on a no."""
    try:
        find(BUNDLED, cache_dir=home)
        return None
    except UnknownModel:
        pass
    try:
        file = describe_small(world.environ)
    except QwenError:
        return None
    world.say(
        f"The small Qwen 3.5 can be had here. By its name: qwennb local pull {SMALL_NAME}", *_what_it_is(file)
    )
    other = f"the bundled {BUNDLED.file.name}, which is no Qwen 3.5"
    return str(SMALL) if world.agrees(f"Fetch it, and not {other}?") else None


def _what_it_is(file: ModelFile) -> list[str]:
    """Tell what a file is, where it comes from, and what it is trusted by."""
    foreign = ": no Qwen 3.5, but" if file == BUNDLED.file else ","
    told = f"{file.name} ({file.size / 1e6:,.{0 if file.size > 1e7 else 1}f} MB){foreign} {file.origin}."
    return [*wrap(told), *wrap(f"Licence: {file.licence}."), f"  sha256 {file.sha256}"]


class _Progress:
    """How far a fetch is: one line that moves on a terminal, else a line for each tenth."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._moves = world.err.isatty()
        self._tenth = -1

    def __call__(self, progress: DownloadProgress) -> None:
        tenth = 10 * progress.done // max(progress.file.size, 1)
        if self._tenth < 0:
            for line in ("Fetching", *_what_it_is(progress.file)):
                self._world.note(line)
        if self._moves:
            self._world.redraw(str(progress))
        elif tenth > self._tenth:
            self._world.note(str(progress))
        self._tenth = max(tenth, self._tenth)

    def end(self) -> None:
        """Leave the moving line."""
        if self._moves and self._tenth >= 0:
            self._world.note("")


def local_serve_options(parser: Parser) -> None:
    """Add the options of `qwennb local serve`."""
    parser.add_argument("model", nargs="?", help=_WHICH)
    parser.option("--port", "where to listen on 127.0.0.1 (default: any free port)", 0)
    parser.option("--context", "tokens for one request with its answer (default: 8192)", 8192)
    parser.option("--parallel", "requests at a time (default: 4)", 4)


def local_serve(given: Any, world: World) -> int:
    """Serve a model until interrupted. The key is QWENNB_API_KEY, else one made for this run."""
    for name in ("context", "parallel"):
        if getattr(given, name) < 1:
            raise BadInput(f"--{name} {getattr(given, name)} must be above 0.")
    if not is_installed():
        raise UnknownEndpoint('llama.cpp is not installed here. Type: pip install "qwennb[local]"')
    config = world.config()
    model = find(given.model, cache_dir=default_cache_dir(world.environ), also=[config.cache_dir])
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


def local_list(given: Any, world: World) -> int:
    """Print the models that are here, and the one that can be fetched."""
    here = models_here(world.config(), world)
    rows = [("model", "size", ""), *((name, amount(size), "here") for name, size in here)]
    if all(name != BUNDLED.file.name for name, _ in here):
        rows.append((BUNDLED.file.name, amount(BUNDLED.file.size), "not here: qwennb local pull"))
    world.say(*table(rows, right=(1,)))
    world.say(*wrap(f"{BUNDLED.file.name} is {BUNDLED.file.origin}. Licence: {BUNDLED.file.licence}."))
    if not is_installed():
        world.say('  llama.cpp, which runs them, is not installed: pip install "qwennb[local]"')
    return 0


def models_here(config: Config, world: World) -> list[tuple[str, int]]:
    """List name and size of each model file that is found here. Nothing is opened: a hash takes seconds."""
    homes = dict.fromkeys([default_cache_dir(world.environ), config.cache_dir])
    files = {file.name: file for home in homes for file in sorted((home / "models").glob("*.gguf"))}
    # Before the name stand 16 digits of its hash.
    return [(file.stem[17:], file.stat().st_size) for file in files.values()]
