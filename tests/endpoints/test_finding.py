"""Whom to ask, from what the user said and what there is; and to whom a key may be shown."""

import asyncio
import time
from contextlib import ExitStack

import orjson
import pytest

from qwennb.catalog import Catalog
from qwennb.config import Config, Secret
from qwennb.endpoints import HOSTED, NAMES, SELF_HOSTED, Finder, SdkTransport
from qwennb.endpoints.finding import PROBE_SECONDS
from qwennb.errors import MissingKey, UnknownEndpoint, UnknownModel
from qwennb.simulator import Simulator

from .wire import Raw, reply, serving

NOWHERE = ()
KEYS = {"DASHSCOPE_API_KEY": "sk-dash", "OPENROUTER_API_KEY": "sk-or"}


def search(config=None, environ=None, *, ports=NOWHERE, embedded=None, ask=None, **given):
    """What a finder finds with this configuration and environment; *ask* asks it something else than to find."""
    if "api_key" in given:
        given["api_key"] = Secret(given["api_key"])

    async def run():
        finder = Finder(
            config or Config(**given),
            environ or {},
            catalog=Catalog.load_bundled(),
            embedded=lambda _: embedded,
            simulated=lambda: "http://127.0.0.1:1/v1",
            ports=ports,
            patience=3.0,  # whoever runs these tests may be busy
        )
        try:
            return await (ask(finder) if ask else finder.find())
        finally:
            await finder.close()

    return asyncio.run(run())


@pytest.fixture
def started():
    """Start simulators of these dialects; their ports."""
    with ExitStack() as stack:
        yield lambda *dialects, **given: [stack.enter_context(Simulator(d, **given)).port for d in dialects]


# ---------------------------------------------------------------------- the order of the rules


def test_the_argument_comes_before_everything(started):
    (port,) = started("vllm")
    endpoint = search(endpoint="openrouter", environ=KEYS, ports=[port])
    assert (endpoint.name, endpoint.chosen_by_user, endpoint.key) == ("openrouter", True, Secret("sk-or"))


def test_a_providers_key_in_the_environment_comes_before_a_running_server(started):
    (port,) = started("vllm")
    endpoint = search(environ={"OPENROUTER_API_KEY": "sk-or"}, ports=[port])
    assert (endpoint.name, endpoint.key, endpoint.chosen_by_user) == ("openrouter", Secret("sk-or"), False)


def test_with_the_key_of_alibaba_alone_the_region_is_the_international_one():
    endpoint = search(environ=KEYS)
    assert (endpoint.name, endpoint.key) == ("dashscope-intl", Secret("sk-dash"))
    assert endpoint.base_url == HOSTED["dashscope-intl"].base_url


def test_an_empty_variable_is_no_key(started):
    (port,) = started("vllm")
    assert search(environ={"OPENROUTER_API_KEY": ""}, ports=[port]).name == "vllm"


def test_a_running_server_comes_before_the_embedded_model(started):
    (port,) = started("ollama")
    assert search(ports=[port], embedded="embedded").name == "ollama"
    assert search(embedded="embedded") == "embedded"


def test_with_nothing_at_all_the_choices_are_listed():
    with pytest.raises(UnknownEndpoint) as caught:
        search()
    for word in ("DASHSCOPE_API_KEY", "OPENROUTER_API_KEY", "vLLM", "LM Studio", "qwennb local pull"):
        assert word in str(caught.value)


# ---------------------------------------------------------------------- servers on this machine


@pytest.mark.parametrize("kind", SELF_HOSTED)
def test_each_kind_of_server_is_told_by_what_it_answers_and_not_by_its_port(started, kind):
    (port,) = started(kind)
    endpoint = search(ports=[port])
    assert (endpoint.name, endpoint.dialect.kind, endpoint.hosted) == (kind, kind, False)
    assert endpoint.base_url == f"http://127.0.0.1:{port}/v1"
    assert endpoint.served
    assert not endpoint.chosen_by_user
    assert endpoint.model_name(None) == "qwen3.5-9b"
    assert search(endpoint=f"http://127.0.0.1:{port}/v1").name == kind


def test_all_servers_that_run_are_found_in_the_order_of_the_ports(started):
    ports = started(*SELF_HOSTED)
    endpoints = search(ports=ports, ask=lambda finder: finder.running())
    assert [endpoint.name for endpoint in endpoints] == list(SELF_HOSTED)


def test_a_kind_that_was_named_is_found_at_another_port_than_its_usual_one(started):
    ports = started("vllm", "sglang")
    endpoint = search(endpoint="sglang", ports=ports)
    assert (endpoint.name, endpoint.base_url) == ("sglang", f"http://127.0.0.1:{ports[1]}/v1")
    assert endpoint.chosen_by_user


def test_a_kind_that_does_not_run_is_told_when_its_model_is_needed():
    endpoint = search(endpoint="mlx-vlm", model="9b")
    assert endpoint.base_url == "http://127.0.0.1:8080/v1"
    with pytest.raises(UnknownModel, match=r"does not answer, or does not say.*Start it"):
        endpoint.model_name(None)


@pytest.mark.slow
def test_silent_ports_cost_300_ms_together():
    async def run():
        async def silent(reader, writer):
            try:
                await asyncio.Event().wait()
            finally:
                writer.close()

        servers = [await asyncio.start_server(silent, "127.0.0.1", 0) for _ in range(6)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        finder = Finder(
            Config(), {}, catalog=Catalog.load_bundled(), embedded=lambda _: None, simulated=str, ports=ports
        )
        started = time.monotonic()
        found = await finder.running()
        spent = time.monotonic() - started
        await finder.close()
        for server in servers:
            server.close()
        return found, spent

    tries = [asyncio.run(run()) for _ in range(3)]  # a machine that stands still makes one of them late
    assert [found for found, _ in tries] == [[], [], []]
    assert PROBE_SECONDS == 0.3
    assert min(spent for _, spent in tries) < 3 * PROBE_SECONDS, (
        "one after the other they would be six times as long"
    )


@pytest.mark.slow
def test_a_server_that_is_silent_on_what_it_does_not_know_is_still_told():
    async def run():
        async def serve(reader, writer):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"GET /version " in head:
                    writer.write(reply(b'{"version": "0.33"}', headers=["connection: close"]))
                elif b"GET /v1/models " in head:
                    models = b'{"data": [{"id": "Qwen/Qwen3.5-9B", "owned_by": "vllm"}]}'
                    writer.write(reply(models, headers=["connection: close"]))
                else:
                    await asyncio.Event().wait()
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        finder = Finder(
            Config(),
            {},
            catalog=Catalog.load_bundled(),
            embedded=lambda _: None,
            simulated=str,
            ports=[port],
            patience=2.0,
        )
        endpoint = await finder.find()
        await finder.close()
        server.close()
        return endpoint

    endpoint = asyncio.run(run())
    assert (endpoint.name, endpoint.served) == ("vllm", ("Qwen/Qwen3.5-9B",))


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"<html>", kind="text/html"),
        reply(b"[]"),
        reply(b"{}"),
        reply(b"null"),
        reply(b'{"error": "no"}'),
        b"\0\1\2\3",
    ],
)
def test_what_is_no_model_server_is_passed_over(answer):
    async def run():
        async with serving(Raw(answer, close=True)) as port:
            finder = Finder(
                Config(),
                {},
                catalog=Catalog.load_bundled(),
                embedded=lambda _: None,
                simulated=str,
                ports=[port],
            )
            found = await finder.running()
            await finder.close()
            return found

    assert asyncio.run(run()) == []


def test_a_long_list_of_models_is_read_to_its_end(started):
    names = [f"somebody/model-{n:05}" for n in range(8000)]
    (port,) = started("vllm", models=[*names, "Qwen/Qwen3.5-9B"])
    assert search(ports=[port]).model_name(None) == "qwen3.5-9b"


# ---------------------------------------------------------------------- gateways, which answer for many

LISTED = ["qwen3.5-plus", "team/qwen-9b", "qwen/qwen3.5-9b", "Qwen/Qwen3.5-9B-FP8", "gpt-5", "plus"]
CATALOGUE = {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "us"} for name in LISTED]}
SETTINGS = {"schema": {}, "current": {}, "fingerprint": "f"}
PROPS = {"default_generation_settings": {}, "total_slots": 1}
GATEWAYS = {
    "any object at settings": {"/v1/settings": {"theme": "dark"}},
    "settings of another form": {"/v1/settings": {"schema": "v2", "current": 7, "fingerprint": "f"}},
    "a list at every models": {"/api/v0/models": CATALOGUE, "/api/v1/models": CATALOGUE, "/models": CATALOGUE},
    "an empty list at every models": {"/api/v0/models": {"data": []}},
    "a version": {"/api/version": {"version": "1.0"}},
    "a version here and there": {"/api/version": {"version": "1.0"}, "/version": {"version": "0.33.0"}},
    "props of another form": {"/props": {"default_generation_settings": "none"}},
    "props of another server": {"/props": {"default_generation_settings": {"n_ctx": 1}, "chat_template": ""}},
    "a model's path": {"/get_model_info": {"model_path": "s3://models/a"}},
    "an object everywhere": {None: {"status": "ok"}},
    "a version everywhere": {None: {"version": "0.33.0"}},
    "models everywhere": {None: CATALOGUE},
    "everything that anybody answers": {None: SETTINGS | PROPS | {"version": "1", "model_path": "m", "is_generation": True}},
    "a page everywhere": {None: "<html>Welcome. Ollama is running</html>", "/api/version": {"version": "0.6.5"}},
    "the marks of two kinds, and a page everywhere": {None: "ok", "/v1/settings": SETTINGS, "/props": PROPS},
}  # fmt: skip


def at_gateway(pages, ask, **given):
    """What *ask* gives of the finder, and the paths that a server of these *pages* was asked."""

    def answer(asked):
        found = {"/v1/models": CATALOGUE}.get(asked.target) or pages.get(asked.target, pages.get(None))
        if found is None:
            return reply(b'{"detail": "Not Found"}', status="404 Not Found")
        return (
            reply(found.encode(), kind="text/html") if isinstance(found, str) else reply(orjson.dumps(found))
        )

    async def run():
        raw = Raw(answer)
        async with serving(raw) as port:
            found = await asyncio.to_thread(ask, port, given)
        return found, [asked.target for asked in raw.asked]

    return asyncio.run(run())


def found_at(port, given):
    url = f"{given.pop('kind', '')}http://127.0.0.1:{port}/v1"
    return search(endpoint=url, **given)


@pytest.mark.parametrize("pages", GATEWAYS.values(), ids=GATEWAYS)
def test_a_gateway_is_taken_for_no_kind_of_server(pages):
    endpoint, _ = at_gateway(pages, found_at)
    assert (endpoint.name, endpoint.dialect.kind, endpoint.served) == ("openai", "openai", tuple(LISTED))
    running, _ = at_gateway(
        pages, lambda port, given: search(ports=[port], ask=lambda finder: finder.running())
    )
    assert running == []


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("kind", ["", "openai+", *(f"{name}+" for name in SELF_HOSTED)])
def test_an_id_that_a_server_lists_is_asked_for_by_that_id(kind, listed):
    endpoint, _ = at_gateway({}, found_at, kind=kind)
    if kind == "openai+" and listed == "plus":
        return  # nothing was asked for a list, and it is a short name of ours
    assert endpoint.model_id(endpoint.model_name(listed)) == listed
    assert endpoint.abilities(endpoint.model_name(listed)).accepts("temperature")


@pytest.mark.parametrize("unlisted", ["my-lora", "qwen3.5-flash", "Qwen/Qwen3.5-27B-AWQ", "gpt-6"])
@pytest.mark.parametrize("kind", ["", "openai+", *(f"{name}+" for name in SELF_HOSTED)])
def test_an_id_that_is_not_listed_goes_where_the_user_named_the_endpoint(kind, unlisted):
    endpoint, _ = at_gateway({}, found_at, kind=kind)
    assert endpoint.model_id(endpoint.model_name(unlisted)) == unlisted


def test_a_server_that_would_answer_with_another_model_is_not_asked_for_one(started):
    (port,) = started("llama.cpp")
    endpoint = search(endpoint=f"llama.cpp+http://127.0.0.1:{port}/v1")
    assert len(endpoint.served) == 1
    for other, name in (("27b", "qwen3.5-27b"), ("my-lora", "my-lora")):
        with pytest.raises(UnknownModel, match=rf"serves `.*`, not `{name}`"):
            endpoint.model_id(endpoint.model_name(other))


def test_an_id_that_is_not_listed_is_refused_where_the_server_was_only_found(started):
    (port,) = started("vllm")
    endpoint = search(ports=[port])
    with pytest.raises(UnknownModel, match=r"does not serve `my-lora`.*It serves `Qwen/Qwen3.5-9B`"):
        endpoint.model_id(endpoint.model_name("my-lora"))


def test_a_vllm_may_serve_its_model_under_a_name_that_the_catalogue_has_elsewhere():
    with Simulator("vllm", models=["qwen3.5-plus"]) as sim:
        endpoint = search(endpoint=sim.base_url)
        assert (
            endpoint.model_id(endpoint.model_name("plus"))
            == endpoint.model_id(endpoint.model_name(None))
            == "qwen3.5-plus"
        )
        abilities = endpoint.abilities("qwen3.5-plus")
        assert (abilities.known, abilities.context) == (False, None)  # only the name is known


def test_plain_openai_that_was_asked_for_is_not_probed():
    endpoint, asked = at_gateway({"/version": {"version": "0.33.0"}}, found_at, kind="openai+")
    assert (endpoint.name, endpoint.dialect.kind, endpoint.hosted, asked) == ("openai", "openai", False, [])
    assert endpoint.model_id(endpoint.model_name("Qwen/Qwen3.5-9B")) == "Qwen/Qwen3.5-9B"
    far = search(endpoint="openai+https://gateway.example/v1", api_key="sk-mine")
    assert (far.name, far.hosted, far.key) == ("gateway.example", True, Secret("sk-mine"))


def test_plain_openai_is_spoken_to_a_provider_too_without_a_key_of_the_environment():
    endpoint = search(endpoint="openai+https://openrouter.ai/api/v1", environ=KEYS)
    assert (endpoint.dialect.kind, endpoint.key, endpoint.model_id("any/model")) == (
        "openai",
        None,
        "any/model",
    )


def test_an_id_that_only_the_provider_lists_goes():
    with Simulator("openrouter", models=["qwen/qwen3.7-max", "qwen/qwen3.5-9b"]) as sim:
        given = {"endpoint": f"openrouter+{sim.base_url}", "api_key": "sk-sim"}
        endpoint = search(model="qwen/qwen3.7-max", **given)
        assert endpoint.model_id(endpoint.model_name("qwen/qwen3.7-max")) == "qwen/qwen3.7-max"
        assert endpoint.abilities("qwen/qwen3.7-max").accepts("temperature")
        with pytest.raises(UnknownModel, match="no model `qwen/qwen3.7-mxa`"):
            endpoint.model_name("qwen/qwen3.7-mxa")
        search(model="9b", **given)
        assert sim.ledger.count("asked") == 0
        assert [entry.path for entry in sim.ledger.entries()] == ["/api/v1/models"]


# ---------------------------------------------------------------------- base URLs


def test_a_base_url_with_its_kind_is_not_probed(started):
    with Simulator("vllm") as sim:
        endpoint = search(endpoint=f"vllm+{sim.base_url}")
        assert (endpoint.name, endpoint.dialect.kind) == ("vllm", "vllm")
        assert [entry.path for entry in sim.ledger.entries()] == ["/v1/models"]


def test_an_unknown_server_on_this_machine_gets_the_plain_tongue():
    async def run():
        models = reply(b'{"data": [{"id": "qwen3.5-9b"}]}')
        raw = Raw(lambda asked: models if asked.target == "/v1/models" else reply(b"{}", status="404 No"))
        async with serving(raw) as port:
            finder = Finder(
                Config(endpoint=f"http://127.0.0.1:{port}/v1"),
                {},
                catalog=Catalog.load_bundled(),
                embedded=lambda _: None,
                simulated=str,
            )
            endpoint = await finder.find()
            await finder.close()
            return endpoint

    endpoint = asyncio.run(run())
    assert (endpoint.name, endpoint.dialect.kind, endpoint.hosted, endpoint.served) == (
        "openai",
        "openai",
        False,
        ("qwen3.5-9b",),
    )


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope-intl"),
        ("https://ws1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1", "dashscope-intl"),
        ("https://ws1.cn-beijing.maas.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://ws1.us-east-1.maas.aliyuncs.com/compatible-mode/v1", "dashscope-us"),
        ("https://OpenRouter.AI/api/v1/", "openrouter"),
    ],
)
def test_a_providers_own_address_is_known_and_gets_its_key(url, name):
    endpoint = search(endpoint=url, environ=KEYS)
    assert (endpoint.name, endpoint.hosted) == (name, True)
    assert endpoint.key == Secret(KEYS[HOSTED[name].variable])
    assert endpoint.base_url == url.rstrip("/")


# ---------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "endpoint",
    [
        "openrouter+http://127.0.0.1:9/v1",
        "openrouter+https://openrouter.ai.evil.example/v1",
        "openrouter+https://evil.example/openrouter.ai/v1",
        "openrouter+https://notopenrouter.ai/v1",
        "dashscope+https://evil.oss-cn-beijing.aliyuncs.com/v1",
        "dashscope+https://evil.cn-hangzhou.fc.aliyuncs.com/v1",
        "dashscope+https://maas.aliyuncs.com.evil.example/v1",
    ],
)
def test_a_providers_key_goes_to_its_own_hosts_only(endpoint):
    with pytest.raises(
        MissingKey, match=r"wants a key of its own: give api_key= or set QWENNB_API_KEY"
    ) as caught:
        search(endpoint=endpoint, environ=KEYS)
    assert "sk-" not in str(caught.value)
    assert search(endpoint=endpoint, environ=KEYS, api_key="sk-mine").key == Secret("sk-mine")


def test_a_base_url_gets_no_key_of_a_provider(started):
    (port,) = started("vllm")
    assert search(endpoint=f"http://127.0.0.1:{port}/v1", environ=KEYS).key is None
    assert search(endpoint="vllm", environ=KEYS, ports=[port]).key is None


def test_a_server_that_was_only_found_is_shown_no_key(started):
    with Simulator("vllm") as sim:
        endpoint = search(ports=[sim.port], api_key="sk-mine")
        assert endpoint.key is None
        assert not any("authorization" in entry.headers for entry in sim.ledger.entries())


def test_a_server_that_was_named_is_shown_the_key_but_not_while_it_is_probed():
    with Simulator("vllm", api_key="sk-mine") as sim:
        for endpoint in (sim.base_url, f"vllm+{sim.base_url}", "vllm"):
            assert search(endpoint=endpoint, api_key="sk-mine", ports=[sim.port]).key == Secret("sk-mine")
        shown = {entry.path for entry in sim.ledger.entries() if "authorization" in entry.headers}
        assert shown == {"/v1/models"}


def test_a_providers_own_variable_counts_before_the_key_for_base_urls():
    environ = KEYS | {"QWENNB_API_KEY": "sk-of-my-box"}
    assert search(endpoint="openrouter", environ=environ, api_key="sk-of-my-box").key == Secret("sk-or")
    assert search(endpoint="openrouter", environ=environ, api_key="sk-argument").key == Secret("sk-argument")
    only = {"QWENNB_API_KEY": "sk-of-my-box"}
    assert search(endpoint="openrouter", environ=only, api_key="sk-of-my-box").key == Secret("sk-of-my-box")


@pytest.mark.parametrize(
    ("name", "variable"), [(name, endpoint.variable) for name, endpoint in HOSTED.items()]
)
def test_a_missing_key_is_told_with_its_variable(name, variable):
    with pytest.raises(MissingKey, match=f"set {variable} in the environment") as caught:
        search(endpoint=name)
    assert "qwennb doctor" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://openrouter.ai/api/v1", "http://gpu-box:8000/v1", "vllm+http://192.168.1.7:8000/v1", "http://127.evil.example/v1",
        "vllm+http://127.0.0.1.evil.example:8000/v1", "http://localhost.evil.example/v1", "HTTP://gpu-box:8000/v1", "http://2130706433.evil.example/v1",
    ],
)  # fmt: skip
def test_no_key_goes_over_plain_http_but_to_this_machine(url):
    with pytest.raises(MissingKey, match="is not https: a key is not sent over it"):
        search(endpoint=url, environ=KEYS, api_key="sk-mine")


def test_plain_http_without_a_key_is_fine():
    assert search(endpoint="vllm+http://nope.invalid:8000/v1").key is None


# ---------------------------------------------------------------------- what can't be meant


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("openruoter", "did you mean `openrouter`"),
        ("dashcope", "did you mean `dashscope`"),
        ("foo", "There is no endpoint `foo`"),
        ("foo+https://host/v1", "There is no kind of server `foo`"),
        ("vlm+https://host/v1", "did you mean `vllm`"),
        ("ftp://host/v1", "is not a base URL: it must be like https://host/v1"),
        ("https:///v1", "is not a base URL"),
        ("http://host:99999/v1", "is not a base URL"),
        ("https://me:secret@host/v1", "The base URL holds a password"),
        ("local", "qwennb local pull"),
        ("openai", r'endpoint="openai\+https://host/v1"'),
        ("OpenAI", r'endpoint="openai\+https://host/v1"'),
        ("opnai+https://host/v1", "did you mean `openai`"),
    ],
)
def test_what_can_not_be_meant_is_told_in_a_sentence(endpoint, words):
    with pytest.raises(UnknownEndpoint, match=words) as caught:
        search(endpoint=endpoint)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith((".", "pull"))


def test_an_unknown_name_lists_all_names():
    with pytest.raises(UnknownEndpoint) as caught:
        search(endpoint="zzz")
    assert all(name in str(caught.value) for name in NAMES)


def test_the_simulator_is_a_place_of_its_own_name():
    assert search(endpoint="simulator").name == "simulator"


def test_a_finder_uses_the_transport_it_is_given():
    async def run():
        transport = SdkTransport()
        finder = Finder(
            Config(endpoint="vllm+http://127.0.0.1:9/v1"),
            {},
            catalog=Catalog.load_bundled(),
            embedded=lambda _: None,
            simulated=str,
            transport=transport,
        )
        endpoint = await finder.find()
        await transport.close()
        return endpoint

    assert asyncio.run(run()).served == ()
