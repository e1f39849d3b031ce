"""The kinds of server that people run themselves, and what only each of them answers.

A status proves nothing, and neither does an object or a version: gateways answer for what they do not know. So a kind is
believed by the shape of an answer that no other server gives, and of a server that answers even a path which nobody has,
no kind is believed at all. Whoever is not recognised is spoken to in plain OpenAI chat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from qwennb.endpoints.dialects import Dialect, LlamaCpp, LmStudio, MlxVlm, Ollama, Sglang, Vllm
from qwennb.endpoints.reading import mapping, mappings, text

NOBODYS_PATH = "/a-path-that-qwennb-made-up"
MODELS_PATH = "/v1/models"


class ProbedPage(NamedTuple):
    """What stands at one path: the status, and the JSON or else the text; nothing at all is `NO_PAGE`."""

    status: int
    data: Any


NO_PAGE = ProbedPage(0, None)
Pages = Mapping[str, ProbedPage]


@dataclass(frozen=True, slots=True)
class SelfHosted:
    """A kind of server that people run: where it usually is, and how it is told from all others by its *paths*."""

    name: str
    port: int
    dialect: Callable[[], Dialect]
    paths: tuple[str, ...]
    is_shown_by: Callable[[Pages], bool]


def recognise_server(pages: Pages) -> SelfHosted | None:
    """The kind of server that answers these *pages*; None where no kind can be believed."""
    if _answers_anything(pages):
        return None
    return next((server for server in SELF_HOSTED.values() if server.is_shown_by(pages)), None)


def _answers_anything(pages: Pages) -> bool:
    """Tell whether a path that nobody has is answered too. LM Studio answers it with 200, and says that it is an error."""
    page = pages[NOBODYS_PATH]
    return page.status == 200 and "error" not in mapping(page.data)


def _object_at(pages: Pages, path: str) -> Mapping[str, Any]:
    """Find the object that stands at *path*; an empty one where there is none."""
    page = pages[path]
    return mapping(page.data) if page.status == 200 else {}


# What each of them answers, as read in its source (sglang 0.5.23, llama.cpp, mlx-vlm 0.7.10, ollama, vllm 0.33.0) or
# in its documentation (LM Studio).


def _is_sglang(pages: Pages) -> bool:
    said = _object_at(pages, "/get_model_info")
    return isinstance(said.get("model_path"), str) and "is_generation" in said


def _is_llama_cpp(pages: Pages) -> bool:
    said = _object_at(pages, "/props")
    return isinstance(said.get("default_generation_settings"), Mapping) and "total_slots" in said


def _is_mlx_vlm(pages: Pages) -> bool:
    said = _object_at(pages, "/v1/settings")
    return (
        all(isinstance(said.get(name), Mapping) for name in ("schema", "current")) and "fingerprint" in said
    )


def _is_lm_studio(pages: Pages) -> bool:
    said = _object_at(pages, "/api/v0/models")
    models = mappings(said.get("data"))
    if not models:  # nothing downloaded yet
        refusal = text(_object_at(pages, NOBODYS_PATH).get("error"))
        return said.get("data") == [] and refusal.startswith("Unexpected endpoint or method")
    return all("compatibility_type" in model and "state" in model for model in models)


def _is_ollama(pages: Pages) -> bool:
    version = text(_object_at(pages, "/api/version").get("version"))
    return bool(version) and "Ollama is running" in text(pages["/"].data)


def _is_vllm(pages: Pages) -> bool:
    """It has nothing of its own without a key but its version; its list of models says whose they are, or wants the key."""
    version, models = text(_object_at(pages, "/version").get("version")), pages[MODELS_PATH]
    wants_key = models.status == 401 and mapping(models.data) == {"error": "Unauthorized"}
    owners = {model.get("owned_by") for model in mappings(_object_at(pages, MODELS_PATH).get("data"))}
    return bool(version) and (wants_key or "vllm" in owners)


SELF_HOSTED: Mapping[str, SelfHosted] = {
    server.name: server
    for server in (
        SelfHosted("sglang", 30000, Sglang, ("/get_model_info",), _is_sglang),
        SelfHosted("llama.cpp", 8080, LlamaCpp, ("/props",), _is_llama_cpp),
        SelfHosted("mlx-vlm", 8080, MlxVlm, ("/v1/settings",), _is_mlx_vlm),
        SelfHosted("lmstudio", 1234, LmStudio, ("/api/v0/models",), _is_lm_studio),
        SelfHosted("ollama", 11434, Ollama, ("/api/version", "/"), _is_ollama),
        SelfHosted("vllm", 8000, Vllm, ("/version", MODELS_PATH), _is_vllm),
    )
}
PROBES = (NOBODYS_PATH, *(path for server in SELF_HOSTED.values() for path in server.paths))
