"""1,500 questions to an endpoint that allows 100 a second, with nothing configured."""

from __future__ import annotations

import asyncio
import tempfile
import time

import openai

from qwennb import Qwen
from tests.benchmarks.servers import Endpoint, endpoint

ROWS, RATE, LATENCY, IN_FLIGHT = 1500, 100, 200, 256
IDEAL = (ROWS - RATE) / RATE + LATENCY / 1000


def ours() -> str:
    """`ask_many`, at up to 256 in flight."""
    with (
        endpoint(LATENCY, rate=RATE) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,  # the cache is still open in it
    ):
        qwen = Qwen(endpoint=server.base_url, cache_dir=folder, concurrency=IN_FLIGHT)
        began = time.perf_counter()
        answers = qwen.ask_many([f"question {n}" for n in range(ROWS)])
        seconds = time.perf_counter() - began
        lost = sum(answer.error is not None for answer in answers)
        return (
            f"quota of {RATE} a second, {ROWS} questions: {lost} lost, {server.get('stats')['rejected']} refusals, "
            f"{seconds:.1f} s, {seconds / IDEAL:.2f} x the ideal {IDEAL:.1f} s (required: 0, at most 20, 1.25 x)"
        )


def theirs() -> str:
    """The openai package with its own retries behind a semaphore."""

    async def run(server: Endpoint) -> int:
        client, gate = (
            openai.AsyncOpenAI(base_url=server.base_url, api_key="none"),
            asyncio.Semaphore(IN_FLIGHT),
        )

        async def one(n: int) -> None:
            async with gate:
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": f"question {n}"}]
                )

        outcomes = await asyncio.gather(*(one(n) for n in range(ROWS)), return_exceptions=True)
        await client.close()
        return sum(isinstance(outcome, Exception) for outcome in outcomes)

    with endpoint(LATENCY, rate=RATE) as server:
        began = time.perf_counter()
        lost = asyncio.run(run(server))
        return f"the same with AsyncOpenAI and a semaphore: {lost} lost, {server.get('stats')['rejected']} refusals, {time.perf_counter() - began:.1f} s"
