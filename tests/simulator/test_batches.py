"""Files and batches of DashScope: uploaded, polled, fetched; and what they refuse."""

import json

import pytest

from qwennb.simulator import BatchLimits, Fault, Options
from qwennb.simulator.batches import BATCH_REFUSALS

from .wire import ask, get, send, valid

BASE = "/compatible-mode/v1"
BOUNDARY = "----edge"


def upload(sim, data, purpose="batch"):
    if not isinstance(data, bytes):
        data = b"".join(json.dumps(line).encode() + b"\n" for line in data)
    form = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n--{BOUNDARY}\r\n'
        'Content-Disposition: form-data; name="file"; filename="in.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n'
    ).encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip
    return send(
        sim, "POST", f"{BASE}/files", form, {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    )


def order(sim, identity, **changes):
    asked = {
        "input_file_id": identity,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    } | changes
    return send(sim, "POST", f"{BASE}/batches", json.dumps(asked))


def line(place, url="/v1/chat/completions", **changes):
    return {"custom_id": f"row-{place}", "method": "POST", "url": url, "body": valid("dashscope", **changes)}


def content(sim, identity):
    return [json.loads(one) for one in get(sim, f"{BASE}/files/{identity}/content").body.splitlines()]


def run(sim, lines, **changes):
    """Upload, order, poll to the end: the batch."""
    batch = order(sim, upload(sim, lines).json["id"], **changes).json
    while batch["status"] in ("validating", "in_progress", "cancelling"):
        batch = get(sim, f"{BASE}/batches/{batch['id']}").json
    return batch


def test_a_batch_is_done_after_so_many_polls_and_answers_as_a_live_question_would(start):
    sim = start("dashscope", options=Options(batch_polls=3))
    file = upload(sim, [line(0), line(1, seed=4)]).json
    assert (file["object"], file["purpose"], file["filename"]) == ("file", "batch", "in.jsonl")
    batch = order(sim, file["id"], metadata={"ds_name": "mine"}).json
    assert (batch["status"], batch["metadata"]) == ("validating", {"ds_name": "mine"})
    polls = [get(sim, f"{BASE}/batches/{batch['id']}").json for _ in range(3)]
    assert [poll["status"] for poll in polls] == ["in_progress", "in_progress", "completed"]
    assert polls[-1]["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    rows = content(sim, polls[-1]["output_file_id"])
    assert [row["custom_id"] for row in rows] == ["row-0", "row-1"]
    said = rows[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert sim.ledger.count("paid") == 2
    assert {entry.method for entry in sim.ledger.paid()} == {"BATCH"}
    live = ask(start("dashscope"), stream=False).json["choices"][0]["message"]["content"]
    assert live == said


def test_lines_that_are_refused_go_to_the_error_file(start):
    sim = start("dashscope", faults=[Fault("500", when={2})])
    batch = run(sim, [line(0), line(1, temperature=5), line(2)])
    assert batch["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    errors = content(sim, batch["error_file_id"])
    assert [(row["custom_id"], row["response"]["status_code"]) for row in errors] == [
        ("row-1", 400),
        ("row-2", 500),
    ]
    assert errors[0]["error"]["code"] == "invalid_parameter_error"


def test_a_line_that_was_cut_is_not_paid_and_faults_of_the_wire_leave_batches_alone(start):
    sim = start("dashscope", faults=[Fault("reset"), Fault("length", when={0})])
    batch = run(sim, [line(0), line(1)])
    rows = content(sim, batch["output_file_id"])
    assert [row["response"]["body"]["choices"][0]["finish_reason"] for row in rows] == ["length", "stop"]
    assert [entry.fault for entry in sim.ledger.asks()] == ["length", None]
    assert sim.ledger.count("paid") == 1


def test_a_long_line_is_too_long_for_a_batch_though_not_for_a_live_question(start):
    sim = start("dashscope")
    long = {"messages": [{"role": "user", "content": "x" * 1_200_000}]}
    assert ask(sim, **long).status == 200
    batch = run(sim, [line(0, **long)])
    assert batch["request_counts"]["failed"] == 1


def test_a_batch_can_be_cancelled_until_it_is_done(start):
    sim = start("dashscope")
    batch = order(sim, upload(sim, [line(0)]).json["id"]).json
    cancel = f"{BASE}/batches/{batch['id']}/cancel"
    assert send(sim, "POST", cancel).json["status"] == "cancelling"
    assert get(sim, f"{BASE}/batches/{batch['id']}").json["status"] == "cancelled"
    assert send(sim, "POST", cancel).status == 409
    assert sim.ledger.count("paid") == 0


def test_a_dry_run_costs_nothing(start):
    sim = start("dashscope")
    dry = line(0, url="/v1/chat/ds-test", model="batch-test-model")
    batch = run(sim, [dry], endpoint="/v1/chat/ds-test")
    assert batch["request_counts"]["completed"] == 1
    assert sim.ledger.count("asked") == 0


def test_files_are_listed_read_and_deleted(start):
    sim = start("dashscope")
    identity = upload(sim, [line(0)]).json["id"]
    assert [file["id"] for file in get(sim, f"{BASE}/files").json["data"]] == [identity]
    assert content(sim, identity) == [line(0)]
    assert send(sim, "DELETE", f"{BASE}/files/{identity}").json["deleted"]
    assert get(sim, f"{BASE}/files/{identity}").status == 404
    assert get(sim, f"{BASE}/batches").json["data"] == []
    assert get(sim, f"{BASE}/batches/none").status == 404


def test_files_want_the_key_too(start):
    sim = start("dashscope")
    assert get(sim, f"{BASE}/files", key="sk-other").status == 401


def test_only_dashscope_has_them(start):
    assert get(start("vllm"), "/v1/files").status == 404


SMALL = BatchLimits(lines=2, file_bytes=2000, line_bytes=500)
WIDE = "x" * 600
EXAMPLES = {
    "purpose": lambda sim: upload(sim, [line(0)], purpose="fine-tune"),
    "file size": lambda sim: upload(sim, b"x" * 2001),
    "empty file": lambda sim: upload(sim, b"\n"),
    "endpoint": lambda sim: order(sim, upload(sim, [line(0)]).json["id"], endpoint="/v1/embeddings"),
    "window": lambda sim: order(sim, upload(sim, [line(0)]).json["id"], completion_window="12h"),
    "too many lines": lambda sim: run(sim, [line(0), line(1), line(2)]),
    "long line": lambda sim: run(sim, [line(0, messages=[{"role": "user", "content": WIDE}])]),
    "not JSON": lambda sim: run(sim, b"{no\n"),
    "custom_id": lambda sim: run(sim, [line(0), line(0)]),
    "several models": lambda sim: run(sim, [line(0), line(1, model="qwen3.5-flash")]),
    "url": lambda sim: run(sim, [line(0, url="/v1/embeddings")]),
    "dry run size": lambda sim: run(
        sim,
        [line(0, url="/v1/chat/ds-test", messages=[{"role": "user", "content": "x" * 1_100_000}])],
        endpoint="/v1/chat/ds-test",
    ),
}


@pytest.mark.parametrize("row", BATCH_REFUSALS, ids=lambda row: row.name)
def test_each_limit_is_kept(start, row):
    limits = BatchLimits() if row.name == "dry run size" else SMALL
    sim = start("dashscope", options=Options(batch_limits=limits))
    heard = EXAMPLES[row.name](sim)
    if row.stage == "content":
        assert heard["status"] == "failed"
        assert heard["errors"]["data"][0]["message"] == row.message
    else:
        assert (heard.status, heard.json["error"]["message"]) == (400, row.message)
    assert run(sim, [line(0)])["status"] == "completed"
