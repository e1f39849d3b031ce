"""Loading and unloading: the magics, Tab in their options, and `%qwen` lines that end in a question mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qwennb.notebook.columns import Columns
    from qwennb.notebook.completion import Completion
    from qwennb.notebook.magics import QwenMagics

NAMES = (
    "qwen", "qwen_fix", "qwen_look", "qwen_models", "qwen_usage", "qwen_cache", "qwen_config", "qwen_chat", "qwen_sent",
    "qwen_pack", "qwen_stale", "qwen_methods",
)  # fmt: skip

_loaded: dict[int, tuple[QwenMagics, Completion, Columns]] = {}


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
    from qwennb.notebook.sharing import begin_sharing

    if id(shell) in _loaded:
        return
    magics = QwenMagics(shell)
    shell.register_magics(magics)
    completion = Completion(shell, magics.chats)
    shell.Completer.custom_matchers.append(completion.matcher)
    shell.input_transformer_manager.token_transformers.insert(0, QwenLine)
    shell.events.register("pre_run_cell", magics.chats.cell_begins)
    shell.events.register("pre_run_cell", magics.stale_tracker.cell_begins)
    shell.events.register("pre_run_cell", magics.outputs.cell_begins)
    shell.events.register("post_run_cell", magics.outputs.cell_ended)
    begin_sharing(shell, magics)
    shell.events.callbacks["post_execute"].insert(0, FIGURES.note)  # matplotlib closes its figures there
    columns = Columns()
    columns.load(shell)
    shell.events.register("pre_run_cell", columns.cell_begins)
    shell.events.register("post_run_cell", columns.cell_ended)
    _loaded[id(shell)] = magics, completion, columns


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take away what `load_ipython_extension` has added; `%unload_ext qwennb` calls it.

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
    if id(shell) not in _loaded:
        return
    magics, completion, columns = _loaded.pop(id(shell))
    columns.unload()
    from qwennb.notebook.figures import FIGURES
    from qwennb.notebook.sharing import end_sharing

    shell.events.unregister("post_execute", FIGURES.note)

    end_sharing(shell)
    shell.events.unregister("pre_run_cell", columns.cell_begins)
    shell.events.unregister("post_run_cell", columns.cell_ended)
    shell.Completer.custom_matchers.remove(completion.matcher)
    shell.input_transformer_manager.token_transformers.remove(QwenLine)
    shell.events.unregister("pre_run_cell", magics.chats.cell_begins)
    shell.events.unregister("pre_run_cell", magics.stale_tracker.cell_begins)
    shell.events.unregister("pre_run_cell", magics.outputs.cell_begins)
    shell.events.unregister("post_run_cell", magics.outputs.cell_ended)
    for kind in ("line", "cell"):
        for name in NAMES:
            shell.magics_manager.magics[kind].pop(name, None)
