"""OpenTelemetry: a span for each request that was really sent, one for a column, beside the user's own; texts only if wanted.

Providers can be set once in a process: tests/tracing/spans.py makes everything in one of its own, and is looked at here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qwennb.tracing import names
from tests.tracing.test_events import SECRETS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spans")
    command = [sys.executable, "-m", "tests.tracing.spans", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"folder": str(folder), "stderr": done.stderr}


def spans(told, scene, name=None):
    return [
        span for span in told["scenes"][scene] if span["scope"] == "qwennb" and name in (None, span["name"])
    ]


def parent(told, scene, span):
    return next(
        one["name"] for one in told["scenes"][scene] if one["context"]["span_id"] == span["parent_id"]
    )


@pytest.mark.slow
def test_with_the_api_alone_nothing_is_made(told):
    assert told["made_before"] is False


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["ask", "await", "stream", "cell"])
def test_a_question_has_a_span_for_its_request_below_the_users_own(told, scene):
    (span,) = spans(told, scene)
    assert (span["name"], span["kind"], span["status"]) == (
        "chat qwen3.5-flash",
        "SpanKind.CLIENT",
        {"status_code": "UNSET"},
    )
    assert parent(told, scene, span) == scene
    attributes = span["attributes"]
    assert (
        attributes["gen_ai.operation.name"] == "chat" and attributes["gen_ai.provider.name"] == "openrouter"
    )
    assert attributes["gen_ai.request.model"] == "qwen3.5-flash"
    assert attributes["gen_ai.response.model"] == "qwen/qwen3.5-flash-02-23"
    assert (
        attributes["gen_ai.response.finish_reasons"] == ["stop"]
        and attributes["server.address"] == "127.0.0.1"
    )
    assert attributes["gen_ai.usage.input_tokens"] > 0 and attributes["gen_ai.usage.output_tokens"] > 0
    assert attributes["qwennb.attempt"] == 1 and len(attributes["qwennb.request.key"]) == 12
    assert span["start_time"] < span["end_time"]


@pytest.mark.slow
def test_settings_that_were_given_are_told_and_no_others(told):
    (span,) = spans(told, "ask")
    told_of = {
        name: value for name, value in span["attributes"].items() if name.startswith("gen_ai.request.")
    }
    assert told_of == {
        "gen_ai.request.model": "qwen3.5-flash", "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 100,
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_recalled_makes_no_span(told):
    assert spans(told, "recall") == [] and spans(told, "door again") == []
    (span,) = spans(told, "column again")
    assert (span["attributes"]["qwennb.recalled"], span["attributes"]["qwennb.sent"]) == (3, 0)
    assert span["attributes"]["qwennb.spent"] == 0 < span["attributes"]["qwennb.recorded_cost"]


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["column", "lazy"])
def test_a_column_has_one_span_and_one_below_it_for_each_request(told, scene):
    (column,) = spans(told, scene, "qwennb.column")
    requests = spans(told, scene, "chat qwen3.5-flash")
    assert column["kind"] == "SpanKind.INTERNAL" and parent(told, scene, column) == scene
    assert [parent(told, scene, one) for one in requests] == ["qwennb.column"] * 3
    attributes = column["attributes"]
    figures = {
        name: attributes[f"qwennb.{name}"]
        for name in ("verb", "model", "rows", "unique", "recalled", "asked", "failed", "sent")
    }
    assert figures == {
        "verb": "ask", "model": "qwen3.5-flash", "rows": 4, "unique": 3, "recalled": 0, "asked": 3, "failed": 0, "sent": 3,
    }  # fmt: skip
    assert attributes["qwennb.spent"] == pytest.approx(
        sum(one["attributes"]["qwennb.cost"] for one in requests)
    )
    # Sums stand under names of their own: whoever adds up spans counts nothing twice.
    assert not any(name.startswith("gen_ai.usage") or name == "qwennb.cost" for name in attributes)


@pytest.mark.slow
def test_ask_many_has_one_span_and_one_below_it_for_each_request(told):
    (many,) = spans(told, "many", "qwennb.ask_many")
    assert parent(told, "many", many) == "many" and many["attributes"]["qwennb.unique"] == 3
    assert {parent(told, "many", one) for one in spans(told, "many", "chat qwen3.5-flash")} == {
        "qwennb.ask_many"
    }


@pytest.mark.slow
def test_a_request_that_failed_has_a_span_with_its_error(told):
    requests = spans(told, "failing", "chat qwen3.5-flash")
    assert [one["attributes"].get("error.type") for one in requests] == [
        "RateLimited",
        "RequestRefused",
        None,
        None,
    ]
    assert [one["attributes"].get("http.response.status_code") for one in requests] == [429, 422, None, None]
    assert [one["attributes"]["qwennb.attempt"] for one in requests] == [1, 2, 1, 1]
    assert [one["status"]["status_code"] for one in requests] == ["ERROR", "ERROR", "UNSET", "UNSET"]
    (column,) = spans(told, "failing", "qwennb.column")
    assert (column["attributes"]["qwennb.failed"], column["attributes"]["qwennb.refused"]) == (1, 1)
    assert [event["name"] for event in column["events"]] == ["qwennb.pause"]
    assert column["status"]["status_code"] == "UNSET"  # its other rows have their answers
    (refused,) = spans(told, "refused")
    assert (refused["attributes"]["error.type"], parent(told, "refused", refused)) == (
        "ServerFailed",
        "refused",
    )


@pytest.mark.slow
def test_a_column_that_is_stopped_ends_its_spans(told):
    (column,) = spans(told, "stopped", "qwennb.column")
    assert column["attributes"]["error.type"] == "Stopped" and column["status"]["status_code"] == "UNSET"
    (request,) = [span for span in spans(told, "stopped") if span["kind"] == "SpanKind.CLIENT"]
    assert request["attributes"]["error.type"] == "Stopped" and request["end_time"]


@pytest.mark.slow
def test_each_thread_is_the_parent_of_what_it_asks(told):
    requests = spans(told, "threads")
    assert sorted(parent(told, "threads", one) for one in requests) == [f"thread {n}" for n in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["door", "async door"])
def test_beside_an_instrumentor_of_openai_a_question_is_counted_once(told, scene):
    assert [(span["scope"], span["name"]) for span in told["scenes"][scene]] == [
        ("qwennb", "chat qwen3.5-flash"), ("the user's", scene),
    ]  # fmt: skip
    assert {one["scope"]["name"] for one in told["metrics"]["resource_metrics"][0]["scope_metrics"]} == {
        "qwennb"
    }


@pytest.mark.slow
def test_no_span_and_no_metric_holds_a_text_a_key_or_a_path(told):
    assert len(spans(told, "secrets")) > 8
    everything = json.dumps([*told["scenes"]["secrets"], told["metrics"]])
    for secret in (*SECRETS, told["folder"], os.path.expanduser("~")):
        assert secret not in everything
    assert "messages" not in json.dumps(told["scenes"]["ask"])


@pytest.mark.slow
def test_texts_are_told_where_the_conventions_own_switch_says_so(told):
    (span,) = spans(told, "captured")
    texts = {name: json.loads(span["attributes"][name]) for name in (
        "gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.output.messages",
    )}  # fmt: skip
    assert texts == {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "the question"}]}],
        "gen_ai.system_instructions": [{"type": "text", "content": "the system"}],
        "gen_ai.output.messages": [
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "the answer"}],
                "finish_reason": "stop",
            }
        ],
    }


@pytest.mark.slow
def test_durations_and_tokens_are_measured_for_what_was_sent(told):
    (scope,) = told["metrics"]["resource_metrics"][0]["scope_metrics"]
    points = {metric["name"]: metric["data"]["data_points"] for metric in scope["metrics"]}
    requests = [
        one for scene in told["scenes"] for one in spans(told, scene) if one["kind"] == "SpanKind.CLIENT"
    ]
    answered = [one for one in requests if "error.type" not in one["attributes"]]
    assert sum(point["count"] for point in points["gen_ai.client.operation.duration"]) == len(requests)
    by_type = {
        kind: sum(
            p["sum"]
            for p in points["gen_ai.client.token.usage"]
            if p["attributes"]["gen_ai.token.type"] == kind
        )
        for kind in ("input", "output")
    }
    assert by_type == {
        kind: sum(one["attributes"][f"gen_ai.usage.{kind}_tokens"] for one in answered)
        for kind in ("input", "output")
    }


def test_the_names_are_those_that_opentelemetry_publishes():
    """All but one kind: those of the newest release of the conventions, of which no package exists yet, would stand here."""
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
    from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
    from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

    published = {
        value
        for module in (
            gen_ai_attributes,
            gen_ai_metrics,
            error_attributes,
            http_attributes,
            server_attributes,
        )
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = [value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)]
    ours += names.SETTINGS.values()
    used = [name for name in ours if "." in name and " " not in name and not name.startswith("qwennb.")]
    assert len(used) > 20 and [name for name in used if name not in published] == []
