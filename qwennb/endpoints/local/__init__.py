"""The embedded local model: a file whose hash is known, and llama.cpp serving it from a child process.

named(text)  →  WheelSet | HubFile | Path      which model is meant
pull(…)      →  LocalModel                     fetched, checked by its sha256, put into its place
find(…)      →  LocalModel                     what lies here already; nothing is fetched
LocalServer.shared(LocalModel)                 one llama.cpp for each file in each process
"""

from qwennb.endpoints.local.hub import HubFile
from qwennb.endpoints.local.model_folder import DownloadProgress, LocalModel, ModelFile
from qwennb.endpoints.local.pull import (
    BUNDLED,
    SMALL,
    SMALL_NAME,
    describe_small,
    find,
    means_small,
    pull,
    resolve_model,
)
from qwennb.endpoints.local.server import LocalServer, is_installed
from qwennb.endpoints.local.wheels import WheelPart, WheelSet
