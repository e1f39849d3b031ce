"""One endpoint with its address, its key and its dialect.

`identity` is what answers are filed under beside the request's key. A hosted endpoint's is its name. A server of one's
own is told by its kind and the model that it reports, not by its port: the same model served tomorrow at another port
is the same endpoint, another model at the same port is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NoReturn
from urllib.parse import urlsplit

from qwennb.answer import Cost, Usage
from qwennb.catalog import Abilities, Catalog, Model, RateQuota, plain_name
from qwennb.config import Secret
from qwennb.endpoints.call import Call
from qwennb.endpoints.dialects import Dialect, Wire, choice_bound
from qwennb.endpoints.local import LocalServer
from qwennb.endpoints.media import is_read, measure
from qwennb.errors import BadInput, EndpointError, UnknownModel, nearest
from qwennb.request import Document, Image, Medium, Pdf, Request, Video
from qwennb.simulator import is_simulated
from qwennb.terminal import flatten


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `served` is what a self-hosted server reports; empty where it was not asked or is silent."""

    name: str
    base_url: str
    dialect: Dialect
    hosted: bool
    key: Secret | None = None
    served: tuple[str, ...] = ()
    chosen_by_user: bool = True
    server: LocalServer | None = None
    catalog: Catalog = field(default_factory=Catalog.load_bundled, repr=False, compare=False)
    # Found once: every row of a column asks for them.
    _names: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _ids: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _abilities: dict[str, Abilities] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def most(self) -> int | None:
        """The most requests that it makes sense to have under way here; None where only the limiter can tell."""
        return self.server.parallel + 2 if self.server is not None else None

    def ready(self) -> None:
        """See to it that there is somebody to ask. May take seconds: not for the loop."""
        if self.server is not None:
            self.server.start()

    @property
    def _is_provider(self) -> bool:
        """Tell whether the catalogue knows what is served here, and by which ids."""
        return self.hosted and self.dialect.kind != "openai"

    @property
    def catalogue_name(self) -> str:
        """The name by which the catalogue knows this endpoint's abilities and prices."""
        if self.dialect.kind == "openai":
            return self.base_url
        return self.name if self.hosted else self.dialect.kind

    def model_name(self, wanted: str | None) -> str:
        """The canonical name of the model that *wanted* (or nothing) means here."""
        if self.server is not None:
            own = self.server.model.file.name
            if wanted is not None and not self._means(own, wanted):
                raise UnknownModel(
                    f"The embedded model is {own}; it can't answer as `{without_path(wanted)}`. Leave out model=, give a .gguf "
                    "file by path, or choose another endpoint=."
                )
            return own
        if wanted is None:
            return self._default_model()
        if (name := self._names.get(wanted)) is None:
            name = self._names[wanted] = self._find_name(wanted)
        return name

    def _find_name(self, wanted: str) -> str:
        known = self.catalog.find(wanted)
        if self._is_provider:
            return wanted if self._lists_only_by_id(wanted) else self.catalog.model(wanted).name
        if known is None:
            return without_path(wanted)
        return known.name if self._is_meant_by_name(known, wanted) else without_path(wanted)

    def model_id(self, name: str) -> str:
        """This endpoint's own id for the model called *name*."""
        if (model_id := self._ids.get(name)) is None:
            model_id = self._ids[name] = self._find_id(name)
        return model_id

    def _find_id(self, name: str) -> str:
        if self._is_provider:
            return name if self._lists_only_by_id(name) else self.catalog.id_at(name, self.name)
        same = [served for served in self.served if self._means(served, name)]
        if same:
            return next((served for served in same if without_path(served) == name), same[0])
        if self.served and (not self.chosen_by_user or self._looks_at_no_id):
            self._refuse_unlisted(name)
        known = self.catalog.find(name)
        return self._own_id(known) if known is not None and known.name == name else name

    def _refuse_unlisted(self, name: str) -> NoReturn:
        if self._looks_at_no_id:
            raise UnknownModel(
                f"{self} serves `{without_path(self.served[0])}`, not `{name}`. Leave out model=, or start it with that file."
            )
        listed = ", ".join(f"`{without_path(served)}`" for served in self.served[:8])
        raise UnknownModel(
            f"{self} does not serve `{name}`{nearest(name, map(without_path, self.served)) or '.'} It serves {listed}."
        )

    def identity(self, name: str) -> str:
        """What answers of the model called *name* are filed under."""
        if self.server is not None:
            return self.server.model.file.identity
        if self.hosted:
            return self.name
        return f"{self.name}:{without_path(self.model_id(name))}"

    def abilities(self, name: str) -> Abilities:
        """What the model called *name* can do here."""
        if (known := self._abilities.get(name)) is None:
            by_id = self._lists_only_by_id(name)
            known = self._abilities[name] = self.catalog.abilities(name, self.catalogue_name, by_id=by_id)
        return known

    def quota(self, name: str) -> RateQuota | None:
        """The account's rate limit for the model called *name*, where one is known."""
        return self.catalog.quota(name, self.catalogue_name) if self.hosted else None

    def tells_likelihoods(self, request: Request) -> bool:
        """True where the answer to *request* comes with how likely each of its choices was."""
        if request.settings.logprobs is not None:
            return request.settings.logprobs > 0
        return "logprobs" in self.dialect.defaults(request, self.abilities(request.model))

    def bills_cancelled(self, name: str) -> bool:
        """True where hanging up saves no money: Alibaba, also behind OpenRouter, bills the whole answer."""
        known = self.catalog.find(name)
        alibaba_only = known is not None and not known.open_weights
        return self.dialect.kind == "dashscope" or (self.dialect.kind == "openrouter" and alibaba_only)

    def cost(self, name: str, usage: Usage, told: float | None, *, batch: bool = False) -> Cost | None:
        """What an answer cost: what the server told, else what the table says; None where nobody knows."""
        if told is not None:
            return Cost(told, "server")
        return self.catalog.cost(name, self.catalogue_name, usage, batch=batch)

    def worst_cost(self, request: Request) -> float:
        """The most that one attempt at *request* can cost, to be set aside before it goes."""
        if self.catalog.endpoint(self.catalogue_name).free:
            return 0.0
        settings, abilities = request.settings, self.abilities(request.model)
        max_tokens = settings.max_tokens
        if max_tokens is None and request.choices is not None and settings.thinking is False:
            max_tokens = choice_bound(request.choices)
        output = abilities.output_bound(max_tokens, settings.thinking)
        worst = None
        if output is not None:
            worst = self.catalog.worst_cost(request.model, self.catalogue_name, most_tokens(request), output)
        if worst is None:
            raise BadInput(
                f"budget= can't be kept at {self}: the price of {request.model} there is unknown. Leave budget= out, or ask elsewhere."
            )
        return worst

    def write(self, request: Request, *, stream: bool) -> Wire:
        """*request* as it goes over the wire here."""
        wire = self.dialect.write(
            request, self.model_id(request.model), self.abilities(request.model), stream=stream
        )
        # A server draws by chance and is sent the same each time. The simulator knows no chance: it is told which draw this
        # is, beside the body, and no other server is.
        if (sample := request.settings.sample) is not None and is_simulated(self.base_url):
            wire = replace(wire, headers={**wire.headers, "X-Sample": str(sample)})
        return wire

    def call(self, wire: Wire) -> Call:
        """The call that carries *wire*."""

        def read_error(status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
            if self.key is not None:  # some servers repeat it in their complaint
                body = body.replace(self.key.reveal().encode(), "…".encode())
            return self.dialect.refusal(self.name, status, headers, body)

        return Call(
            base_url=self.server.start() if self.server is not None else self.base_url,
            body=wire.body,
            headers=wire.headers,
            key=self.key,
            endpoint=str(self),
            read_error=read_error,
        )

    def _default_model(self) -> str:
        if self.hosted:
            default = self.catalog.default_model(self.name) if self.dialect.kind != "openai" else None
            if default is None:
                raise UnknownModel(f"{self} has no default model. Give model=, or set QWENNB_MODEL.")
            return default
        if not self.served and self.dialect.kind == "openai":
            raise UnknownModel(
                f"{self} did not say which model it serves. Give model=, or set QWENNB_MODEL; `qwennb doctor` tells whether "
                "it answers."
            )
        if not self.served:
            raise UnknownModel(
                f"{self} does not answer, or does not say which model it serves. Start it; where it wants a key, name it "
                f'with endpoint="{self.name}+{self.base_url}" and api_key=; or give model=.'
            )
        known = [found.name for served in self.served if (found := self.catalog.find(served)) is not None]
        if known:
            return known[0]
        if len(self.served) > 1:
            listed = ", ".join(f"`{without_path(served)}`" for served in self.served[:8])
            raise UnknownModel(
                f"{self} serves several models and none of them is a Qwen 3.5: {listed}. Choose one with model=."
            )
        return without_path(self.served[0])

    def _lists_only_by_id(self, wanted: str) -> bool:
        """Tell whether a provider itself lists the id *wanted*, and the catalogue has no such model there."""
        if not self._is_provider or wanted not in self.served:
            return False
        known = self.catalog.find(wanted)
        return known is None or known not in self.catalog.models_at(self.name)

    def _is_meant_by_name(self, known: Model, wanted: str) -> bool:
        """Tell whether *wanted* is one of our names for the model, or an id that can only mean it here.

        An id that the server lists beside another of the same model, or does not list at all, is a name of its own: what
        is sent must be what was typed.
        """
        same = [served for served in self.served if self._means(served, known.name)]
        if same:
            return wanted not in same or wanted == same[0]
        return wanted.strip().lower() in (known.name, *known.aliases) or wanted == self._own_id(known)

    def _own_id(self, known: Model) -> str:
        """Choose the id of a model of the catalogue at a server that does not list it."""
        if self.dialect.kind in ("vllm", "sglang"):
            return known.hub or known.name
        return next(iter(known.ids.get(self.dialect.kind, ())), known.name)

    @property
    def _looks_at_no_id(self) -> bool:
        """Tell whether this server answers with its one model whatever is asked for: sending another name would be a lie."""
        return self.dialect.kind == "llama.cpp" and len(self.served) == 1

    def _means(self, served: str, name: str) -> bool:
        known, found = self.catalog.find(name), self.catalog.find(served)
        if known is not None or found is not None:
            return known is not None and found is not None and known.name == found.name
        return without_path(served).lower() == name.lower() or plain_name(served) == plain_name(name)

    @property
    def provider(self) -> str:
        """What kind of server it is, as traces call it."""
        return self.dialect.kind

    @property
    def host(self) -> str:
        """Its host, and its port where it has one; empty where it is reached over no network."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    def __str__(self) -> str:
        if self.server is not None:
            return flatten(f"the embedded {self.server.model.file.name}")
        if not self.base_url:  # out of a record
            return "the embedded model"
        return _show_server(self.name, "" if self.hosted else self.base_url)


@lru_cache(maxsize=256)
def _show_server(name: str, base_url: str) -> str:
    host = urlsplit(base_url).netloc.rpartition("@")[2]
    return flatten(f"{name} at {host}" if base_url else name)


def most_tokens(request: Request) -> int:
    """More tokens than *request* can have, without counting: a token of text is at least a byte."""
    total = 100 + sum(map(len, request.choices or ()))
    if request.schema:
        total += len(request.schema.text) + 200
    for tool in request.tools:
        total += len(tool.parameters) + len(tool.description) + 64
    for message in request.messages:
        # Half a character is refused where the key is made, in a sentence of ours.
        total += 16 + len((message.text + message.reasoning).encode("utf-8", "replace"))
        for call in message.tool_calls:
            total += len(call.arguments.encode()) + 64
    return total + sum(map(_most_tokens_of, request.media))


_PICTURE, _LARGEST = (
    16_386,
    800_002,
)  # tokens of a picture at the largest budget there is; of a video of the largest total


def _most_tokens_of(item: Medium) -> int:
    if isinstance(item, Pdf | Document) and is_read(item):
        extent = measure(item)
        return len(extent.text.encode("utf-8", "replace")) + extent.pictures * _PICTURE
    if isinstance(item, Image):
        return _PICTURE
    # A PDF that is drawn or goes as a file is no more than a video of the largest total.
    return _LARGEST * (len(item.frames) or 1 if isinstance(item, Video) else 1)


@lru_cache(maxsize=1024)
def without_path(model_id: str) -> str:
    """A model id without the folders of somebody's machine; a hub id keeps its owner."""
    if (
        model_id.lower().endswith(".gguf")
        or model_id.startswith(("/", "\\", "~", "."))
        or model_id[1:3] == ":\\"
    ):
        return model_id.replace("\\", "/").rsplit("/", 1)[-1]
    return model_id
