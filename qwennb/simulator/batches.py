"""DashScope's `/files` and `/batches`: upload a file of questions, come back later, fetch a file of answers.

A batch is done after it has been polled a settable number of times, so a test never waits for a clock. Each line is
judged and answered by the same rules as a live question (`answer_line`), at half the price. What is wrong with a
request is refused at once; what is wrong in the file makes the batch fail, with a list of errors.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .options import BatchLimits, Options
from .problem import Problem

__all__ = ["BATCH_REFUSALS", "BatchDesk", "BatchRefusal", "RawPage"]

JSON = dict[str, Any]
RawPage = tuple[int, JSON | bytes]
AnswerLine = Callable[[JSON], tuple[int, JSON]]
CHAT, DRY_RUN, DRY_MODEL = "/v1/chat/completions", "/v1/chat/ds-test", "batch-test-model"
DRY_LIMITS = BatchLimits(lines=100, file_bytes=1024 * 1024)
WINDOW = re.compile(r"(\d+)([hd])")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on the server."""

    id: str
    name: str
    purpose: str
    data: bytes
    created: int

    def to_json(self) -> JSON:
        """The file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": self.created,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(slots=True)
class SimulatedBatch:
    """A batch on its way."""

    id: str
    input: Upload
    endpoint: str
    window: str
    metadata: JSON
    created: int
    polls: int = 0
    status: str = "validating"
    output: str | None = None
    errors_file: str | None = None
    counts: tuple[int, int, int] = (0, 0, 0)
    errors: list[JSON] = field(default_factory=list)

    def to_json(self) -> JSON:
        """The batch object."""
        total, completed, failed = self.counts
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input.id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output,
            "error_file_id": self.errors_file,
            "created_at": self.created,
            "in_progress_at": self.created if self.polls else None,
            "completed_at": self.created if self.status == "completed" else None,
            "failed_at": self.created if self.status == "failed" else None,
            "cancelled_at": self.created if self.status == "cancelled" else None,
            "request_counts": {"total": total, "completed": completed, "failed": failed},
            "metadata": self.metadata,
        }


@dataclass(frozen=True, slots=True)
class Tray:
    """What a refusal may look at: the upload, the order for a batch, the parsed lines."""

    limits: BatchLimits
    purpose: str = "batch"
    data: bytes = b""
    order: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[tuple[bytes, Any], ...] = ()

    @property
    def dry(self) -> bool:
        """A dry run."""
        return self.order.get("endpoint") == DRY_RUN

    @property
    def bodies(self) -> list[JSON]:
        """The questions in the file."""
        return [
            line["body"]
            for _, line in self.lines
            if isinstance(line, dict) and isinstance(line.get("body"), dict)
        ]


@dataclass(frozen=True, slots=True)
class BatchRefusal:
    """One row: at which of "upload", "create" or "content" it is tried, and what is said."""

    name: str
    stage: str
    when: Callable[[Tray], bool]
    message: str
    section: str = "§9"


def _hours(window: Any) -> int | None:
    found = WINDOW.fullmatch(str(window))
    return None if found is None else int(found[1]) * (24 if found[2] == "d" else 1)


def _limits(tray: Tray) -> BatchLimits:
    return DRY_LIMITS if tray.dry else tray.limits


def _names(tray: Tray) -> list[Any]:
    return [line.get("custom_id") if isinstance(line, dict) else None for _, line in tray.lines]


BATCH_REFUSALS: tuple[BatchRefusal, ...] = (
    BatchRefusal("purpose", "upload", lambda t: t.purpose not in ("batch", "file-extract"), "'purpose' should be batch"),
    BatchRefusal("file size", "upload", lambda t: len(t.data) > t.limits.file_bytes, "The file is too large: at most 500 MB."),
    BatchRefusal("empty file", "upload", lambda t: not t.data.strip(), "The file is empty."),
    BatchRefusal("endpoint", "create", lambda t: t.order.get("endpoint") not in (CHAT, DRY_RUN), "The endpoint should be /v1/chat/completions."),
    BatchRefusal("window", "create", lambda t: not 24 <= (_hours(t.order.get("completion_window")) or 0) <= 336, "completion_window should be between 24h and 336h."),
    BatchRefusal("too many lines", "content", lambda t: len(t.lines) > _limits(t).lines, "The file has too many lines."),
    BatchRefusal("long line", "content", lambda t: any(len(raw) > t.limits.line_bytes for raw, _ in t.lines), "A line is longer than 6 MB."),
    BatchRefusal("dry run size", "content", lambda t: sum(len(raw) + 1 for raw, _ in t.lines) > _limits(t).file_bytes, "The file of a dry run may have 1 MB."),
    BatchRefusal("not JSON", "content", lambda t: len(t.bodies) < len(t.lines), "A line is not a JSON object with a body."),
    BatchRefusal("custom_id", "content", lambda t: None in _names(t) or len(set(map(str, _names(t)))) < len(t.lines), "Each line needs a custom_id of its own."),
    BatchRefusal("several models", "content", lambda t: len({str(body.get("model")) for body in t.bodies}) > 1, "All lines of a file must ask the same model."),
    BatchRefusal("url", "content", lambda t: any(line.get("url") != t.order.get("endpoint") for _, line in t.lines), "The url of a line differs from the endpoint of the batch."),
)  # fmt: skip


class BatchDesk:
    """The files and batches of one server. Knows nothing of sockets."""

    def __init__(self, *, options: Options, clock: Callable[[], float], answer_line: AnswerLine) -> None:
        self._limits, self._polls, self._options = options.batch_limits, options.batch_polls, options
        self._clock, self._answer_line = clock, answer_line
        self._numbers = itertools.count()
        self._files: dict[str, Upload] = {}
        self._batches: dict[str, SimulatedBatch] = {}

    def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> RawPage | Problem | None:
        """Answer a request below `/files` or `/batches`; None when there is nothing there."""
        match method, path.strip("/").split("/"):
            case "POST", ["files"]:
                return self._upload(headers, body)
            case "GET", ["files"]:
                return _listing([upload.to_json() for upload in self._files.values()])
            case "GET", ["files", name]:
                return self._with_file(name, lambda upload: (200, upload.to_json()))
            case "GET", ["files", name, "content"]:
                return self._with_file(name, lambda upload: (200, upload.data))
            case "DELETE", ["files", name]:
                return self._with_file(name, self._delete)
            case "POST", ["batches"]:
                return self._create(body)
            case "GET", ["batches"]:
                return _listing([batch.to_json() for batch in self._batches.values()])
            case "GET", ["batches", name]:
                return self._with_batch(name, self._poll)
            case "POST", ["batches", name, "cancel"]:
                return self._with_batch(name, self._cancel)
        return None

    # Files.

    def _keep(self, name: str, purpose: str, data: bytes) -> Upload:
        upload = Upload(f"file-{purpose}-{next(self._numbers):08d}", name, purpose, data, int(self._clock()))
        self._files[upload.id] = upload
        return upload

    def _upload(self, headers: Mapping[str, str], body: bytes) -> RawPage | Problem:
        parts = multipart(headers.get("content-type", ""), body)
        if parts is None or "file" not in parts:
            return _wrong("'file' is a required form field")
        name, data = parts["file"]
        purpose = parts.get("purpose", ("", b""))[1].decode("utf-8", "replace")
        tray = Tray(self._limits, purpose, data)
        return _refusal("upload", tray) or (200, self._keep(name or "input.jsonl", purpose, data).to_json())

    def _delete(self, upload: Upload) -> RawPage:
        del self._files[upload.id]
        return 200, {"id": upload.id, "object": "file", "deleted": True}

    def _with_file(self, name: str, do: Callable[[Upload], RawPage]) -> RawPage | Problem:
        upload = self._files.get(name)
        return Problem(404, f"No such File object: {name}", "not_found") if upload is None else do(upload)

    # Batches.

    def _create(self, body: bytes) -> RawPage | Problem:
        try:
            order = json.loads(body)
        except ValueError:
            order = None
        if not isinstance(order, dict):
            return _wrong("The body is not a JSON object.")
        upload = self._files.get(str(order.get("input_file_id")))
        if upload is None:
            return Problem(404, f"No such File object: {order.get('input_file_id')}", "not_found")
        if (problem := _refusal("create", Tray(self._limits, order=order))) is not None:
            return problem
        batch = SimulatedBatch(
            f"batch_{len(self._batches):08d}",
            upload,
            order["endpoint"],
            order["completion_window"],
            order.get("metadata") or {},
            int(self._clock()),
        )
        self._batches[batch.id] = batch
        return 200, batch.to_json()

    def _poll(self, batch: SimulatedBatch) -> RawPage:
        batch.polls += 1
        if batch.status == "cancelling":
            asked = [_json(raw) for raw in batch.input.data.splitlines() if raw.strip()]
            self._finish(batch, asked, self._options.batch_answers or 0, "cancelled")
        elif batch.status in ("validating", "in_progress"):
            lines = tuple((raw, _json(raw)) for raw in batch.input.data.splitlines() if raw.strip())
            tray = Tray(self._limits, order={"endpoint": batch.endpoint}, lines=lines)
            if (problem := _refusal("content", tray)) is not None:
                batch.status = "failed"
                batch.errors = [
                    {"code": problem.code, "message": problem.message, "line": None, "param": None}
                ]
            elif batch.polls < self._polls:
                batch.status, batch.counts = "in_progress", (len(lines), 0, 0)
            else:
                most = self._options.batch_answers
                self._finish(
                    batch, [line for _, line in lines], len(lines) if most is None else most, "expired"
                )
        return 200, batch.to_json()

    def _finish(self, batch: SimulatedBatch, lines: list[JSON], most: int, ending: str) -> None:
        """Answer the first *most* lines. Where there are more, the batch is said to have had this *ending*."""
        good: list[JSON] = []
        bad: list[JSON] = [
            {
                "id": f"{batch.id}-{place}",
                "custom_id": line["custom_id"],
                "response": None,
                "error": {"code": f"batch_{ending}", "message": f"The batch was {ending} before this line."},
            }
            for place, line in enumerate(lines[most:], most)
        ]
        for place, line in enumerate(lines[:most]):
            status, body = (
                self._dry_answer(line) if batch.endpoint == DRY_RUN else self._answer_line(line["body"])
            )
            identity = f"{batch.id}-{place}"
            entry = {
                "id": identity,
                "custom_id": line["custom_id"],
                "response": {"status_code": status, "request_id": identity, "body": body},
                "error": None,
            }
            if status != 200:
                inner = body.get("error", body)
                entry["error"] = {
                    "code": str(inner.get("code", "")),
                    "message": str(inner.get("message", "")),
                }
            (good if status == 200 else bad).append(entry)
        if self._options.batch_reversed:
            good.reverse()
        if good:
            batch.output = self._keep(f"{batch.id}_output.jsonl", "batch_output", _lines(good)).id
        if bad:
            batch.errors_file = self._keep(f"{batch.id}_error.jsonl", "batch_error", _lines(bad)).id
        batch.status = "completed" if most >= len(lines) else ending
        batch.counts = (len(lines), len(good), len(bad))

    def _dry_answer(self, line: JSON) -> tuple[int, JSON]:
        if line["body"].get("model") != DRY_MODEL:
            return 400, {
                "error": {"code": "model_not_found", "message": f"A dry run takes {DRY_MODEL} only."}
            }
        message = {"role": "assistant", "content": "This is a test result."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {
            "id": "chatcmpl-dry",
            "object": "chat.completion",
            "model": DRY_MODEL,
            "choices": [choice],
        }

    def _cancel(self, batch: SimulatedBatch) -> RawPage | Problem:
        if batch.status not in ("validating", "in_progress"):
            return Problem(409, f"A batch that is {batch.status} can't be cancelled.", "conflict")
        batch.status = "cancelling"
        return 200, batch.to_json()

    def _with_batch(self, name: str, do: Callable[[SimulatedBatch], RawPage | Problem]) -> RawPage | Problem:
        batch = self._batches.get(name)
        return Problem(404, f"No such Batch object: {name}", "not_found") if batch is None else do(batch)


def _refusal(stage: str, tray: Tray) -> Problem | None:
    row = next((row for row in BATCH_REFUSALS if row.stage == stage and row.when(tray)), None)
    return None if row is None else _wrong(row.message)


def _wrong(message: str) -> Problem:
    return Problem(400, message, "invalid_parameter_error", "invalid_request_error")


def _listing(data: list[JSON]) -> RawPage:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return 200, {"object": "list", "data": data, "has_more": False, **ends}


def _lines(entries: list[JSON]) -> bytes:
    return b"".join(json.dumps(entry, ensure_ascii=False).encode() + b"\n" for entry in entries)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def multipart(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]] | None:
    """The parts of a form: name → (file name, data). None when it is no form."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if not content_type.startswith("multipart/form-data") or found is None:
        return None
    parts: dict[str, tuple[str | None, bytes]] = {}
    for piece in (b"\r\n" + body).split(b"\r\n--" + found[1].encode())[1:]:
        top, blank, data = piece.partition(b"\r\n\r\n")
        said = dict(re.findall(r'(name|filename)="([^"]*)"', top.decode("utf-8", "replace")))
        if blank and "name" in said:
            parts[said["name"]] = (said.get("filename"), data)
    return parts
