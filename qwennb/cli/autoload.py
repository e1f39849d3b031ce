"""`qwennb doctor --autoload`: the magics are there in every IPython and kernel, without `%load_ext qwennb`.

Written on request alone, into the user's own configuration of IPython, as lazy magics: nothing is imported until the first of
them is typed. What stands in the file already stays.
"""

from __future__ import annotations

import os
from pathlib import Path

from qwennb.cli.world import World
from qwennb.errors import BadInput

_MARK = "# qwennb: its magics load with their first use (qwennb doctor --autoload)"
MAGICS = (
    "qwen", "qwen_cache", "qwen_chat", "qwen_config", "qwen_fix", "qwen_look", "qwen_methods", "qwen_models", "qwen_pack",
    "qwen_sent", "qwen_stale", "qwen_usage",
)  # fmt: skip


def autoload(world: World) -> int:
    """Write the lazy magics into IPython's configuration, once, and say where."""
    environ = world.environ
    home = environ.get("IPYTHONDIR") or os.path.join(environ.get("HOME") or str(Path.home()), ".ipython")  # noqa: PTH118
    file = Path(home) / "profile_default" / "ipython_config.py"
    lines = [_MARK, f"c.MagicsManager.lazy_magics.update(dict.fromkeys({MAGICS!r}, 'qwennb'))", ""]
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else "c = get_config()  # noqa\n"
        if _MARK in before:
            world.say(f"The magics load with their first use already: {file} says so.")
            return 0
        file.parent.mkdir(parents=True, exist_ok=True)
        gap = "" if before.endswith("\n") else "\n"
        file.write_text(f"{before}{gap}\n" + "\n".join(lines), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} can't be written ({error}). Add this line to it: {lines[1]}") from None
    world.say(f"From the next kernel on the magics load with their first use, without %load_ext: {file}")
    return 0
