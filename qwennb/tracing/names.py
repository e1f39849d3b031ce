"""What spans, attributes and metrics are called: this table, and no other place.

The names for language models are of OpenTelemetry's conventions, which are not stable yet: what changes there is changed
here. A test compares them with what OpenTelemetry publishes.
"""

from __future__ import annotations

CONVENTIONS = "gen_ai 0.1.0, on 1.45.0, in development (2026-11)"
"""The version that the names are of: open-telemetry/semantic-conventions-genai, on semantic-conventions."""

# A request that was sent. The span is called "chat {model}".
OPERATION = "gen_ai.operation.name"
CHAT = "chat"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
SETTINGS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
}
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
STATUS = "http.response.status_code"
ERROR = "error.type"

# What is told only where this says "true": texts of questions and answers.
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# The metrics. Tokens as they were published last; the new repository makes counters of them, not released under a name yet.
DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105

# Our own, which no convention has. Sums stand under these alone: under gen_ai.usage they would be counted twice.
COLUMN = "qwennb.column"
ASK_MANY = "qwennb.ask_many"
RUN = "qwennb.run"
KEY = "qwennb.request.key"
ATTEMPT = "qwennb.attempt"
COST = "qwennb.cost"
VERB = "qwennb.verb"
MODEL = "qwennb.model"
ENDPOINT = "qwennb.endpoint"
BUDGET = "qwennb.budget"
ROWS = "qwennb.rows"
UNIQUE = "qwennb.unique"
RECALLED = "qwennb.recalled"
ASKED = "qwennb.asked"
FAILED = "qwennb.failed"
SENT = "qwennb.sent"
REFUSED = "qwennb.refused"
SPENT = "qwennb.spent"
MOST_AT_ONCE = "qwennb.most_at_once"
RUN_INPUT_TOKENS = "qwennb.tokens.input"
RUN_OUTPUT_TOKENS = "qwennb.tokens.output"
RECORDED_COST = "qwennb.recorded_cost"
PAUSE = "qwennb.pause"
SECONDS = "qwennb.seconds"
REASON = "qwennb.reason"
BATCH_SENT = "qwennb.batch.sent"
BATCH_FETCHED = "qwennb.batch.fetched"
BATCH = "qwennb.batch"
STATE = "qwennb.state"
QUESTIONS = "qwennb.questions"
