"""Loading and unloading: the magics, Tab in their options, and `%qwen` lines that end in a question mark."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand

from qwennb.registration import show_options_on_tab

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qwennb.notebook.magics import QwenMagics

# What takes away again all that a shell was given, by its id.
_loaded: dict[int, ExitStack] = {}


class QwenLine(EscapedCommand):
    """`%qwen what is this?` is a question, not IPython's help; a bare `%qwen?` is help."""

    priority = 1  # before IPython looks for help

    @classmethod
    def find(cls, tokens_by_line: Any) -> QwenLine | None:
        """Find the first `%qwen` line with a prompt."""
        for line in tokens_by_line:
            words = [token for token in line if token.string.strip()]
            if len(words) > 2 and [token.string for token in words[:2]] in (
                ["%", "qwen"],
                ["%", "qwen_look"],
            ):
                if words[2].string == "?" and words[2].start == words[1].end:
                    continue
                return cls(words[0].start)
        return None


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magics and their help to an IPython; `%load_ext qwennb` calls it.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython that loads it. A second time changes nothing.

    Raises
    ------
    ConfigError
        If a setting of the environment or the project can't be used.

    Examples
    --------
    >>> %load_ext qwennb
    The qwennb extension is already loaded. To reload it, use:
      %reload_ext qwennb
    """
    from qwennb.notebook.columns import Columns
    from qwennb.notebook.completion import Completion
    from qwennb.notebook.figures import FIGURES
    from qwennb.notebook.magics import QwenMagics

    if id(shell) in _loaded:
        return
    # When qwennb was imported there may have been no shell yet.
    show_options_on_tab(shell)
    magics, columns = QwenMagics(shell), Columns()
    matcher = Completion(shell, magics.chats).matcher
    undo = ExitStack()
    shell.register_magics(magics)
    undo.callback(_drop_magics, shell, magics)
    shell.Completer.custom_matchers.append(matcher)
    undo.callback(shell.Completer.custom_matchers.remove, matcher)
    transformers = shell.input_transformer_manager.token_transformers
    transformers.insert(0, QwenLine)
    undo.callback(transformers.remove, QwenLine)
    undo.callback(magics.recorder.stop)
    for event, call in (
        ("pre_run_cell", magics.chats.cell_begins),
        ("pre_run_cell", magics.stale_tracker.cell_begins),
        ("pre_run_cell", magics.outputs.cell_begins),
        ("pre_run_cell", columns.cell_begins),
        ("post_run_cell", magics.outputs.cell_ended),
        ("post_run_cell", magics.recorder.cell_ended),
        ("post_run_cell", columns.cell_ended),
    ):
        shell.events.register(event, call)
        undo.callback(shell.events.unregister, event, call)
    shell.events.callbacks["post_execute"].insert(0, FIGURES.note)  # matplotlib closes its figures there
    undo.callback(shell.events.unregister, "post_execute", FIGURES.note)
    columns.load(shell)
    undo.callback(columns.unload)
    _loaded[id(shell)] = undo


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take away what `load_ipython_extension` has added; `%unload_ext qwennb` calls it.

    What `import qwennb` brings stays: `df.qwen`, and Tab within the parentheses of a verb.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython that loaded it. What was recorded into a pack is written.

    Raises
    ------
    PackRefused
        If what was recorded would hold a secret.

    Examples
    --------
    >>> %unload_ext qwennb
    >>> %load_ext qwennb
    """
    if id(shell) in _loaded:
        _loaded.pop(id(shell)).close()


def _drop_magics(shell: InteractiveShell, magics: QwenMagics) -> None:
    for kind, named in magics.magics.items():
        for name in named:
            shell.magics_manager.magics[kind].pop(name, None)
