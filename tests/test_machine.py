"""Which addresses are this machine's own, and what of its environment goes to a process that is started."""

from __future__ import annotations

import pytest

from qwennb.machine import is_loopback, keep_needed, names_secret


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/v1", "http://127.0.0.1:8000/v1", "https://127.8.9.10", "http://localhost:11434", "http://LOCALHOST./v1",
        "http://[::1]:8000/v1", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/v1", "http://user@127.0.0.1/v1",
        "http://user:word@[::1]:80?x", "http://[::1]:", "http://127.0.0.1?x", "http://localhost:80#x",
    ],
)  # fmt: skip
def test_an_address_of_this_machine_is_known_as_such(url):
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.evil.example/v1", "http://127.0.0.1.evil.example", "http://localhost.evil.example/v1", "http://127.0.0.1@evil.example/",
        "http://localhost:80@evil.example/", "http://evil.example#@127.0.0.1/", "http://evil.example\\@127.0.0.1/", "http://evil.example/127.0.0.1",
        "http://evil.example?@localhost", "http://127.0.0.1\t.evil.example", "http://127.0.0.1 .evil.example", "http://127.", "http://localhost..",
        "http://sub.localhost/", "http://localhost%2eevil.example", "http://127。0。0。1/", "http://１27.0.0.1/", "http://ⓛocalhost/",
        "http://[::ffff:10.0.0.1]/", "http://[::1.evil]/", "http://[::2]/", "http://192.168.0.1", "http://0.0.0.0:8000", "127.0.0.1", "localhost",
        "http://[::1].evil.example/", "http://[::1]evil.example/", "http://[::1].evil.example:80", "http://user@[::1].evil.example", "//[::1].evil.example",
        "", "http://", "http://[::1", "file:///etc/passwd", "http://xn--localhost-/", "http://128.0.0.1", "http://::1/",
    ],
)  # fmt: skip
def test_whatever_only_looks_like_this_machine_is_not(url):
    assert not is_loopback(url)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.000.000.001", "017700000001"]
)
def test_a_number_that_readers_take_for_different_addresses_is_not_believed(host):
    assert not is_loopback(f"http://{host}:8000/v1")


SECRETS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "GITHUB_TOKEN", "GH_PAT", "HF_TOKEN", "PGPASSWORD",
    "PGPASSFILE", "MYSQL_PWD", "DB_PASSWORD", "DATABASE_URL", "REDIS_URL", "MONGODB_URI", "SENTRY_DSN", "SQLALCHEMY_CONN", "SSH_AUTH_SOCK",
    "GPG_AGENT_INFO", "NETRC", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "PIP_INDEX_URL", "UV_INDEX_URL", "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_STORAGE_CONNECTION_STRING", "KUBECONFIG", "DOCKER_HOST", "DOCKER_AUTH_CONFIG", "VAULT_ADDR", "OPENAI_API_KEY", "DASHSCOPE_API_KEY",
    "QWENNB_API_KEY", "QWENNB_ENDPOINT", "JPY_API_TOKEN", "JUPYTERHUB_API_TOKEN", "JUPYTER_TOKEN", "JUPYTER_SERVER_PASSWORD", "COOKIE", "SESSION",
    "PYTHON_REGISTRY_TOKEN", "LC_SECRET", "POLARS_CLOUD_AUTH", "CUDA_LICENCE_KEY", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY", "DISPLAY", "LLAMA_API_KEY",
)  # fmt: skip
NEEDED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_NUMERIC", "TZ", "TERM", "TMPDIR", "TEMP", "TMP", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONUTF8",
    "VIRTUAL_ENV", "CONDA_PREFIX", "JUPYTER_PATH", "JUPYTER_PLATFORM_DIRS", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "MPLBACKEND",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "POLARS_FMT_MAX_ROWS", "CUDA_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "SYSTEMROOT", "PATHEXT",
)  # fmt: skip


def test_no_variable_that_may_hold_a_secret_is_kept_and_each_that_a_program_needs_is():
    given = dict.fromkeys((*SECRETS, *NEEDED), "/a/value")
    assert sorted(keep_needed(given)) == sorted(NEEDED)


@pytest.mark.parametrize(
    "value", ["https://me:secret@host/", "postgres://me@host/", "http://localhost:8888/?token=abc"]
)
def test_an_address_under_a_harmless_name_is_not_kept(value):
    assert keep_needed({"JUPYTER_PATH": value, "LANG": "C"}) == {"LANG": "C"}


@pytest.mark.parametrize(
    "name",
    [
        "MY_TOKEN",
        "API_KEY",
        "APIKEY",
        "my_password",
        "PGPASSWORD",
        "SECRETS",
        "GH_PAT",
        "MYSQL_PWD",
        "OAUTH_COOKIE",
    ],
)
def test_a_variable_named_like_a_secret_is_one(name):
    assert names_secret(name)


@pytest.mark.parametrize(
    "name", ["PATH", "PWD", "PYTHONPATH", "KEYBOARD", "TOKENIZERS_PARALLELISM", "MONKEY", "COMPASS"]
)
def test_a_variable_that_only_holds_the_letters_is_none(name):
    assert not names_secret(name)
