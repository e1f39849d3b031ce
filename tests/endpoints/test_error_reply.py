"""What each refusal means: every row of what the servers' pages and sources say about errors."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.endpoints.error_reply import classify_error, parse_error, parse_error_body, retry_after
from qwennb.errors import (
    ContentFiltered,
    CreditExhausted,
    EndpointError,
    KeyRefused,
    ModelRefused,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TimedOut,
)


def openrouter(code, message="No.", **metadata):
    return {"error": {"code": code, "message": message, "metadata": metadata}}


def availability(status, code, **more):
    told = {"code": code, "retryable": True, "requested_models": [], **more}
    return {"error": {"message": "No.", "error_type": "x", "http_status": status, "availability": told}}


def nested(code, message="No."):
    return {"error": {"message": message, "type": code, "param": None, "code": code}, "request_id": "r"}


def flat(code, message="No."):
    return {"code": code, "message": message, "request_id": "r"}


def both(status, codes, message, kind):
    """DashScope's two shapes, with the code in each of its spellings."""
    return [(status, shape(code, message), kind) for code in codes for shape in (nested, flat)]


ROWS = [
    (429, openrouter(429, error_type="rate_limit_exceeded"), RateLimited),
    (429, availability(429, "capacity_exhausted"), RateLimited),
    (503, openrouter(503, error_type="provider_overloaded"), ServerFailed),
    (503, availability(503, "temporarily_unavailable"), ServerFailed),
    (502, openrouter(502, error_type="provider_unavailable"), ServerFailed),
    (524, openrouter(524), ServerFailed),
    (529, openrouter(529), ServerFailed),
    (500, openrouter(500, error_type="server"), ServerFailed),
    (504, openrouter(504, error_type="timeout"), TimedOut),
    (408, openrouter(408, error_type="timeout"), TimedOut),
    (402, openrouter(402, error_type="payment_required"), CreditExhausted),
    (401, openrouter(401, error_type="authentication"), KeyRefused),
    (403, openrouter(403, error_type="permission"), KeyRefused),
    (403, openrouter(403, reasons=["violence"], flagged_input="…", provider_name="x", model_slug="y"), ContentFiltered),
    (403, openrouter(403, "Your input was flagged."), ContentFiltered),
    (400, openrouter(400, error_type="context_length_exceeded"), RequestRefused),
    (400, openrouter(400, error_type="content_policy_violation"), ContentFiltered),
    (400, openrouter(400, error_type="refusal"), ContentFiltered),
    (400, openrouter(400, error_type="image_too_large"), RequestRefused),
    (413, openrouter(413, error_type="payload_too_large"), RequestRefused),
    (422, openrouter(422), RequestRefused),
    *[(404, availability(404, code), ModelRefused) for code in ("no_endpoints", "model_deprecated", "privacy_restricted", "constraint_filtered", "free_variant_ended")],
    *both(429, ["Throttling.RateQuota", "LimitRequests", "limit_requests"], "Requests rate limit exceeded", RateLimited),
    *both(429, ["Throttling.BurstRate", "limit_burst_rate"], "Request rate increased too quickly", RateLimited),
    *both(429, ["Throttling.Concurrency", "Throttling"], "Too many", RateLimited),
    *both(429, ["Throttling.AllocationQuota", "insufficient_quota"], "Allocated quota exceeded, please increase", RateLimited),
    *both(429, ["insufficient_quota"], "You exceeded your current quota, please check your plan and billing details", RateLimited),
    *both(429, ["Throttling.AllocationQuota", "insufficient_quota"], "Free allocated quota exceeded.", CreditExhausted),
    *both(403, ["AllocationQuota.FreeTierOnly"], "The free tier has been exhausted", CreditExhausted),
    *both(429, ["CommodityNotPurchased", "PrepaidBillOverdue", "PostpaidBillOverdue", "BudgetLimitExceeded"], "No.", CreditExhausted),
    *both(400, ["Arrearage"], "Access denied, please make sure your account is in good standing.", CreditExhausted),
    *both(403, ["Arrearage"], "Access denied.", CreditExhausted),
    *both(400, ["DataInspectionFailed", "data_inspection_failed"], "Input data may contain inappropriate content", ContentFiltered),
    *both(400, ["InvalidParameter", "invalid_parameter_error"], "Range of input length should be [1, 983616]", RequestRefused),
    *both(400, ["invalid_parameter_error"], "The product is not activated, please confirm", ModelRefused),
    *both(401, ["InvalidApiKey", "invalid_api_key"], "Incorrect API key provided.", KeyRefused),
    *both(404, ["ModelNotFound", "model_not_found"], "does not exist or you do not have access to it.", ModelRefused),
    *both(400, ["invalid_parameter_error"], "Model not exist.", ModelRefused),
    *both(500, ["InternalError", "internal_error", "InternalError.Algo"], "An internal error has occured", ServerFailed),
    *both(400, ["InternalError.Algo.InvalidParameter"], "Repetitive tool calls detected", RequestRefused),
    *both(500, ["InternalError.Algo.InvalidParameter"], "Repetitive tool calls detected", RequestRefused),
    (400, {"error": {"message": "This model's maximum context length is 8192 tokens. However, your prompt contains at least 9000 input tokens", "type": "BadRequestError", "param": "input_tokens", "code": 400}}, RequestRefused),
    (401, {"error": "Unauthorized"}, KeyRefused),
    (400, {"object": "error", "message": "The input (9000 tokens) is longer than the model's context length (8192 tokens).", "type": "BadRequestError", "code": 400}, RequestRefused),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, ServerFailed),
    (400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error", "n_ctx": 4096}}, RequestRefused),
    (401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}}, KeyRefused),
    (501, {"error": {"code": 501, "message": "This server does not support it", "type": "not_supported_error"}}, ServerFailed),
    (503, {"error": {"message": "x", "type": "ServiceUnavailableError", "code": 503}}, ServerFailed),
    (422, {"detail": [{"type": "int_type", "loc": ["body", "max_tokens"], "msg": "Input should be a valid integer"}]}, RequestRefused),
    (404, {"detail": "Not Found"}, ModelRefused),
    (404, {"error": {"message": 'model "x" not found, try pulling it first', "type": "not_found_error", "code": None}}, ModelRefused),
    (409, {}, ServerFailed),
]  # fmt: skip
TRANSIENT = {RateLimited, ServerFailed, TimedOut}


@pytest.mark.parametrize(("status", "body", "kind"), ROWS)
def test_each_refusal_has_one_meaning(status, body, kind):
    error = classify_error(parse_error(status, {}, orjson.dumps(body)), "the place")
    assert type(error) is kind
    assert error.status == status
    assert error.transient is (kind in TRANSIENT and status != 501)
    assert error.fatal is (kind in (KeyRefused, CreditExhausted, ModelRefused))
    words = str(error)
    assert words.startswith("the place ")
    assert words.endswith(".")
    assert "\n" not in words


def test_a_long_input_is_told_how_to_go_on():
    for body in (
        nested("x", "Range of input length should be [1, 5]"),
        openrouter(400, error_type="context_length_exceeded"),
    ):
        assert 'Qwen().ask("… {{ doc }}", doc=text, overflow="map")' in str(
            classify_error(parse_error(400, {}, orjson.dumps(body)), "here")
        )


# What comes inside a 200, whole or in the middle of a stream.
INSIDE = [
    (
        {
            "error": {"code": 429, "message": "slow", "metadata": {"error_type": "rate_limit_exceeded"}},
            "choices": [],
        },
        RateLimited,
    ),
    ({"error": {"code": 502, "message": "down"}}, ServerFailed),
    ({"error": {"code": "server_error", "message": "down"}}, ServerFailed),
    ({"error": {"code": "rate_limit_exceeded", "message": "slow"}}, RateLimited),
    ({"error": {"code": 402, "message": "money"}}, CreditExhausted),
    (
        {"error": {"message": "x", "http_status": 503, "availability": {"code": "capacity_exhausted"}}},
        ServerFailed,
    ),
    (
        {"error": {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}},
        RequestRefused,
    ),
    ({"error": {"message": "x", "type": "InternalServerError", "param": None, "code": 500}}, ServerFailed),
    (
        {"code": "DataInspectionFailed", "message": "Output data may contain", "request_id": "r"},
        ContentFiltered,
    ),
    ({"code": "InternalError.Algo", "message": "x", "request_id": "r"}, ServerFailed),
    ({"error": "The model broke off."}, ServerFailed),
    ("The model broke off.", ServerFailed),
    ({"detail": "x"}, ServerFailed),
    (None, ServerFailed),
    ([], ServerFailed),
]


@pytest.mark.parametrize(("body", "kind"), INSIDE)
def test_an_error_inside_a_reply_is_told_as_broken_off_and_maybe_billed(body, kind):
    error = classify_error(parse_error_body(body), "the place", mid_answer=True)
    assert type(error) is kind
    assert error.maybe_billed
    assert str(error).startswith("the place broke off its answer")


NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
WAITS = [
    ({"retry-after": "7"}, 7.0), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "250", "retry-after": "9"}, 0.25), ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30.0),
    ({"retry-after": "Sat, 21 Nov 2026 11:59:30 GMT"}, None), ({"retry-after": "soon"}, None), ({"retry-after": ""}, None),
    ({"retry-after": "-5"}, None), ({"retry-after": "nan"}, None), ({"retry-after": "inf"}, None), ({}, None),
    ({"retry-after": "121"}, 121.0), ({"retry-after": "1e9"}, 1e9), ({"retry-after": "0"}, None),
    ({"retry-after": str(NOW.timestamp() + 5)}, 5.0), ({"retry-after": str(NOW.timestamp() - 5)}, None),
    ({"retry-after-ms": str(1000 * NOW.timestamp() + 5000)}, 5.0), ({"retry-after": "Sun, 99 Dec 999999 1:2:3"}, None),
    ({"retry-after-ms": "junk", "retry-after": "3"}, 3.0), ({"retry-after": "Sat, 99 Nov 20261 12:00:30"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_a_wait_is_read_in_seconds_in_milliseconds_and_as_a_date(headers, seconds):
    assert retry_after(headers, NOW) == seconds


def test_the_wait_inside_the_body_counts_where_the_header_is_silent():
    body = orjson.dumps(availability(429, "capacity_exhausted", retry_after=4))
    assert parse_error(429, {}, body).retry_after == 4.0
    assert parse_error(429, {"retry-after": "2"}, body).retry_after == 2.0


def test_models_that_are_offered_instead_are_named():
    body = orjson.dumps(availability(404, "model_deprecated", fallback_models=["qwen/a", "qwen/b"]))
    assert str(classify_error(parse_error(404, {}, body), "openrouter")).endswith(
        "It offers instead: qwen/a, qwen/b."
    )


@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: sk-abcd****wxyz.",
        "Bad token Bearer abcdefgh12345",
        'Wrong key: "abcdefgh12345"',
        "sk-or-v1-0123456789abcdef is not known",
    ],
)
def test_what_looks_like_a_key_is_not_repeated(said):
    words = str(classify_error(parse_error(401, {}, orjson.dumps({"error": {"message": said}})), "here"))
    assert not any(part in words for part in ("abcd", "wxyz", "12345", "01234"))
    assert "…" in words


@pytest.mark.parametrize(
    "said", ["Incorrect API key provided.", "Send it in an Authorization header using Bearer auth."]
)
def test_plain_words_about_keys_stay(said):
    assert said.rstrip(".") in str(
        classify_error(parse_error(401, {}, orjson.dumps({"error": {"message": said}})), "here")
    )


def test_a_long_complaint_is_cut():
    words = str(
        classify_error(parse_error(400, {}, orjson.dumps({"error": {"message": "no " * 2000}})), "here")
    )
    assert len(words) < 450


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "code", "message", "metadata", "availability", "detail", "type", "error_type", "retry_after", "http_status", "fallback_models", "msg", "flagged_input"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(JSON, st.integers(100, 599))
@pytest.mark.slow
def test_a_body_of_any_shape_is_one_of_our_errors(body, status):
    for said in (parse_error_body(body), parse_error_body(body, status)):
        assert isinstance(classify_error(said, "here", mid_answer=True), EndpointError)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=12)),
)
def test_any_bytes_and_any_headers_are_one_of_our_errors(body, headers):
    assert isinstance(classify_error(parse_error(429, headers, body), "here"), EndpointError)
