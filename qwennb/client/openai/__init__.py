"""`qwen.openai` and `qwen.openai_async`: the openai package's own clients over a `Session`."""

from __future__ import annotations

from qwennb.client.openai.clients import async_client, sync_client
