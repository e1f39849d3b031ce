"""The magics: `%qwen`, `%%qwen` and the line magics beside them.

Thin: a line is read, the notebook's settings are put under it, and the work is done elsewhere. What is heavy is
imported with the first question, so that loading the extension costs next to nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, Float, Integer, Unicode, Union

from qwennb.config import CACHE_MODES, Config
from qwennb.errors import BadInput, NotRecorded, QwenError, show_in_one_line
from qwennb.notebook.chats import Chats
from qwennb.notebook.options import help_text, read_line
from qwennb.notebook.outputs import CellOutputs
from qwennb.notebook.place import place_of
from qwennb.notebook.sharing import PackRecorder
from qwennb.notebook.stale import StaleTracker

if TYPE_CHECKING:
    from qwennb.client import Qwen
    from qwennb.notebook.cell import CellAsker
    from qwennb.request import Request

_HELP = f"""Ask Qwen about what is in the notebook: `%qwen one line of prompt`, or a cell that begins with `%%qwen`.

`{{{{ expression }}}}` is looked up in the notebook: text travels as text, a frame as a table, a figure or picture as an
image, an Answer as its text. Options stand at the front; behind them, or after `--`, everything is prompt.

Parameters
----------
{help_text()}

Defaults: %config QwenMagics.model = "plus", [tool.qwennb] in pyproject.toml, or the environment (QWENNB_MODEL …).

Raises
------
BadInput
    If an option is none, with the nearest; if options contradict each other.
TemplateError
    If a name in braces is not there.
NotRecorded
    In replay, if it was never answered.
EndpointError
    If the endpoint fails or refuses.

Examples
--------
>>> country = "France"
>>> %qwen What is the capital of {{{{ country }}}}?
Paris
...
>>> %%qwen --into answer --max-tokens 50
... What is the capital of {{{{ country }}}}?
Paris
...
>>> answer.text
'Paris'
"""


def _with_short_errors(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Have *magic* show our own errors as the one sentence that each is."""

    @functools.wraps(magic)
    def run(self: QwenMagics, *arguments: Any) -> Any:
        try:
            return magic(self, *arguments)
        except QwenError as error:
            number = self.stale_tracker.number
            if isinstance(error, NotRecorded) and number is not None:
                error = NotRecorded(f"Cell [{number}]. {error}")
            raise show_in_one_line(error.with_traceback(None)) from None

    return run


@magics_class
class QwenMagics(Magics):
    """Qwen in the notebook. What is left empty here is decided by the environment or pyproject.toml."""

    shell: Any
    model = Unicode(None, allow_none=True, help="The model to ask.").tag(config=True)
    endpoint = Unicode(None, allow_none=True, help="Where to ask.").tag(config=True)
    system = Unicode(None, allow_none=True, help="The system text.").tag(config=True)
    cache = Enum(
        (None, *CACHE_MODES), default_value=None, allow_none=True, help="on, refresh, replay or off."
    ).tag(config=True)
    thinking = Union(
        [Bool(), Integer(), Unicode()], default_value=None, allow_none=True, help="As --think."
    ).tag(config=True)
    temperature = Float(None, allow_none=True, help="As --temperature.").tag(config=True)
    max_tokens = Integer(None, allow_none=True, help="As --max-tokens.").tag(config=True)
    budget = Float(None, allow_none=True, help="US dollars that this notebook may spend.").tag(config=True)
    timeout = Float(None, allow_none=True, help="Seconds for one request.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.chats = Chats()
        self.outputs = CellOutputs(shell)
        self.recorder = PackRecorder()
        self.stale_tracker = StaleTracker(lambda: len(shell.user_ns.get("In", "")) - 1)
        self._clients: dict[Config, Qwen] = {}
        self._asker: CellAsker | None = None

    # ------------------------------------------------------------------ asking

    @no_var_expand
    @line_magic("qwen")  # type: ignore[arg-type]
    @_with_short_errors
    def line(self, line: str) -> None:  # noqa: D102  (told below)
        read = read_line(line)
        self.ask(read.prompt, read.given)

    @no_var_expand
    @cell_magic("qwen")  # type: ignore[arg-type]
    @_with_short_errors
    def cell(self, line: str, cell: str) -> None:  # noqa: D102
        read = read_line(line)
        self.ask("\n".join(filter(None, [read.prompt, cell.rstrip("\n")])), read.given)

    def ask(self, prompt: str, given: dict[str, Any]) -> None:
        """Ask *prompt* with the options *given*."""
        place = place_of(
            self.shell, self.outputs.listen_here, quiet=bool(given.get("quiet") or given.get("plan"))
        )
        is_replay = "replay" in given or self._config(given.get("endpoint")).cache == "replay"
        try:
            # In replay nothing is waited for, and what compares notebooks looks at what is shown first.
            with nullcontext() if is_replay else place.wait(lambda: "getting ready"):
                asker = self.asker(given.get("endpoint"))
            asker.ask(prompt, given, self.defaults(), place)
        except BaseException:
            place.leave()
            raise

    def defaults(self) -> dict[str, Any]:
        """Return the options of a call that %config has set."""
        names = ("system", "thinking", "temperature", "max_tokens")
        return {name: getattr(self, name) for name in names}

    def asker(self, endpoint: str | None = None) -> CellAsker:
        """Make the one who asks for this notebook, at *endpoint* or where the settings say."""
        from qwennb.notebook.cell import CellAsker

        client = self.client(endpoint)
        last, uses = (None, 0) if self._asker is None else (self._asker.last, self._asker.uses)
        self._asker = CellAsker(self.shell, client, self.chats, self.stale_tracker, self.outputs, last, uses)
        return self._asker

    def client(self, endpoint: str | None = None) -> Qwen:
        """Return the client for the settings as they are now; the same settings have the same client, and one budget."""
        from qwennb.client import Qwen

        config = self._config(endpoint)
        if config not in self._clients:
            self._clients[config] = Qwen(**self._settings(endpoint))
        return self._clients[config]

    def _settings(self, endpoint: str | None) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in ("endpoint", "model", "cache", "budget", "timeout")}
        return settings | {"endpoint": endpoint or self.endpoint}

    def _config(self, endpoint: str | None) -> Config:
        return Config.load(self._settings(endpoint))

    # ------------------------------------------------------------------ beside it

    @no_var_expand
    @line_magic
    @_with_short_errors
    def qwen_fix(self, line: str) -> None:
        """Ask what went wrong in the cell that failed last.

        Parameters
        ----------
        line
            Options as for %qwen; further words are told to the model too.

        Raises
        ------
        BadInput
            If there was no error.

        Examples
        --------
        >>> %qwen_fix
        Traceback (most recent call last):
            ...
        qwennb.errors.BadInput: No cell of this kernel has failed yet. %qwen_fix asks about the last error.
        """
        from qwennb.notebook import reports

        read = read_line(line)
        self.ask(reports.fix_prompt(self.shell, read.prompt), {**read.given, "raw": True})

    @no_var_expand
    @line_magic
    @_with_short_errors
    def qwen_look(self, line: str) -> None:
        """Ask about the last figure.

        Parameters
        ----------
        line
            Options as for %qwen; the rest is the question. Without one: what it shows, and whether anything about it is misleading.

        Raises
        ------
        BadInput
            If there is no figure.

        Examples
        --------
        >>> %qwen_look Which line is highest?
        Traceback (most recent call last):
            ...
        qwennb.errors.BadInput: There is no figure yet. Draw one, or ask with --image and a variable or a path.
        """
        from qwennb.notebook import reports

        read = read_line(line)
        figure = reports.last_figure(self.shell)
        name = "__qwen_figure__"
        self.shell.user_ns[name] = figure
        try:
            given = {**read.given, "image": [*read.given.get("image", []), name]}
            self.ask(read.prompt or "What does this chart show, and is anything about it misleading?", given)
        finally:
            self.shell.user_ns.pop(name, None)

    @line_magic
    @_with_short_errors
    def qwen_models(self, line: str) -> None:
        """List the models that can be asked, with their window and what a million tokens cost.

        Parameters
        ----------
        line
            An endpoint, for its models; without it, where this notebook asks.

        Raises
        ------
        UnknownEndpoint
            If there is no such endpoint.

        Examples
        --------
        >>> %qwen_models dashscope-intl
        model ...
        qwen3.5-plus ...
        """
        from qwennb.notebook import reports

        reports.show_tables(reports.models(self.client(), line.strip() or None), "models")

    @line_magic
    @_with_short_errors
    def qwen_usage(self, line: str) -> None:
        """Show what was spent, by day and model, with a small chart.

        Parameters
        ----------
        line
            Nothing, or `notebook`: by notebook too.

        Raises
        ------
        BadInput
            If it is something else.

        Examples
        --------
        >>> %qwen_usage
        Nothing was asked yet.
        """
        from qwennb.notebook import reports

        if (wanted := line.strip()) not in ("", "notebook"):
            raise BadInput(f"%qwen_usage takes `notebook`, or nothing, and not {wanted!r}.")
        reports.show_tables(reports.usage(self.client(), by_notebook=bool(wanted)), "usage")

    @line_magic
    @_with_short_errors
    def qwen_cache(self, line: str) -> None:
        """Show what is remembered, and set the mode.

        Parameters
        ----------
        line
            on, refresh, replay or off: the mode from here on.

        Raises
        ------
        BadInput
            If it is no mode.

        Examples
        --------
        >>> %qwen_cache refresh
        mode     refresh
        answers  0
        size     0.0 MB
        >>> %qwen_cache on
        mode     on
        ...
        >>> %qwen_cache of
        Traceback (most recent call last):
            ...
        qwennb.errors.BadInput: 'of' is not a cache mode. Use on, refresh, replay, off.
        """
        from qwennb.notebook import reports

        wanted = line.strip()
        if wanted:
            if wanted not in CACHE_MODES:
                raise BadInput(f"{wanted!r} is not a cache mode. Use {', '.join(CACHE_MODES)}.")
            self.cache = wanted
        reports.show_tables(reports.cache(self.client()), "cache")

    @line_magic
    @_with_short_errors
    def qwen_pack(self, line: str) -> None:
        """Recall from a pack, and record into it: what is asked from here on is written at the end of each cell.

        Parameters
        ----------
        line
            The file; where its name ends in .zst it is compressed. Nothing: what is loaded. `off`: no pack any more.
            With `--accept-figures` its answers are taken for figures that another matplotlib draws otherwise, and each such
            answer is marked. With `--quiet` nothing is shown.

        Raises
        ------
        PackRefused
            If the file is no pack, or would hold a secret.

        Examples
        --------
        >>> %qwen_pack analysis.qwenpack
        recording into analysis.qwenpack
        >>> %qwen_pack off
        No pack is loaded: %qwen_pack FILE recalls from one and records into it.
        """
        from qwennb.notebook import reports

        if told := self.recorder.load(line, self.client()):
            reports.show_state(told, "pack")

    @line_magic
    @_with_short_errors
    def qwen_config(self, line: str) -> None:
        """Show the settings as they hold now. No key is shown, only whether there is one.

        Examples
        --------
        >>> %qwen_config
        endpoint     openrouter...
        model        not set
        api_key      set
        cache        on
        ...
        """
        from qwennb.notebook import reports

        reports.show_tables(reports.settings(self.client().session.config, self.defaults()), "config")

    @line_magic
    @_with_short_errors
    def qwen_chat(self, line: str) -> None:
        """Open a chat in the cell, or work with the notebook's conversations (`%%qwen --chat NAME`).

        Parameters
        ----------
        line
            Nothing: a chat in the cell. `list`: the conversations. NAME: what was said in one of them; with `save PATH`,
            `export PATH.md` or `clear`.

        Raises
        ------
        BadInput
            If there is no conversation of that name.

        Examples
        --------
        >>> %qwen --chat trip What is the capital of France?
        Paris
        ...
        >>> %qwen_chat list
        conversation  turns
        trip          1
        >>> %qwen_chat trip save trip.json
        `trip` is saved.
        """
        from qwennb.notebook import reports
        from qwennb.notebook.widgets.static import somebody_looks

        words = line.split()
        if not words and somebody_looks():
            from IPython.display import display

            from qwennb.notebook.widgets import ChatPanel

            display(ChatPanel(self.client(), **{n: v for n, v in self.defaults().items() if v is not None}))  # type: ignore[no-untyped-call]
            return
        if words in ([], ["list"]):
            reports.show_tables(reports.conversations(self.chats), "chat")
        else:
            reports.show_state(reports.chat(self.chats, words, self.client), "chat")

    @line_magic
    @_with_short_errors
    def qwen_sent(self, line: str) -> None:
        """Show exactly what the last request carried, of a cell, a call or a column; media by their hash.

        `--as curl` (python, http, postman) writes it for another tool, with the key as a variable.

        Examples
        --------
        >>> %qwen What is the capital of France?
        Paris
        ...
        >>> %qwen_sent
        {
          "model": "qwen3.5-flash",
          "messages": [
            {
              "role": "user",
              "content": "What is the capital of France?"
            }
          ]
        }
        """
        from qwennb.notebook import reports

        client = self.client() if self._asker is None else self._asker.client
        plain, markdown = reports.sent(self._last_request(), lambda: client.endpoint, line)
        reports.show_state(plain, "sent", markdown)

    def _last_request(self) -> Request | None:
        """Find what was asked last: by a cell, or since then by a call or a column."""
        from qwennb.client import runtime

        request, uses = (None, 0) if self._asker is None else (self._asker.last, self._asker.uses)
        used = runtime().last_use
        if used is None or (request is not None and (used[0] == uses or used[1].key == request.key)):
            return request  # its own: with the pictures, of which a record has the hashes
        pack = runtime().pack([used[1]])
        return next((answer.request for answer in pack), request)

    @line_magic
    @_with_short_errors
    def qwen_stale(self, line: str) -> None:
        """Show which answers rest on something that has changed since.

        Examples
        --------
        >>> country = "France"
        >>> %qwen --quiet --into answer What is the capital of {{ country }}?
        >>> country = "Italy"
        >>> %qwen_stale
        cell ...
        [...country has changed...
        """
        from qwennb.notebook import reports
        from qwennb.notebook.namespace import typed_names
        from qwennb.notebook.stale import stale

        reports.show_tables(stale(self.stale_tracker, typed_names(self.shell)), "stale")

    @line_magic
    @_with_short_errors
    def qwen_methods(self, line: str) -> None:
        """Write the paragraph and the table that a paper needs about the models used, from what is recorded.

        Examples
        --------
        >>> %qwen --quiet --into answer What is the capital of France?
        >>> %qwen_methods
        Text in this notebook was generated by ...
        """
        from IPython.display import display

        from qwennb.cache import Pack
        from qwennb.client import runtime
        from qwennb.notebook.methods import methods

        self.client().session.memory  # noqa: B018  (loads the packs that the environment names)
        # Of what was used alone, and no pack's header: the same hash when it is replayed from a larger pack.
        pack = Pack(runtime().pack().records, runtime().default_model)
        display(methods(pack, pack.root), raw=True, metadata={"qwennb": {"methods": pack.root}})  # type: ignore[no-untyped-call]


for _name in ("line", "cell"):
    vars(QwenMagics)[_name].__doc__ = _HELP
