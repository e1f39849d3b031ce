"""Run as a program: everything that makes spans, once, in a process with a provider of its own; prints them as JSON.

python -m tests.tracing.spans FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import warnings
from pathlib import Path

import polars as pl
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from qwennb import Qwen
from qwennb.errors import QwenError
from qwennb.frames import EVALUATIONS
from qwennb.simulator import Fault, Simulator
from qwennb.tracing.spans import find_spans
from tests.conftest import until
from tests.tracing.test_events import ask_with_secrets

KEY = "sk-CANARY-1234567890"


def main(folder: Path) -> None:
    made_before = find_spans()  # the API is loaded, and nobody has set it up
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    tracer = trace.get_tracer("the user's")
    scenes: dict[str, list[dict]] = {}

    def scene(name, do):
        exporter.clear()
        with tracer.start_as_current_span(name):
            do()
        EVALUATIONS.settle(at_once=True)
        scenes[name] = [
            json.loads(span.to_json()) | {"scope": span.instrumentation_scope.name}
            for span in exporter.get_finished_spans()
        ]

    with Simulator("openrouter", api_key=KEY) as sim:
        qwen = Qwen(endpoint=f"openrouter+{sim.base_url}", api_key=KEY, cache_dir=folder / "cache")
        frame = pl.DataFrame({"n": [1, 2, 3, 3]})
        scene("ask", lambda: qwen.ask("Why?", temperature=0.5, max_tokens=100))
        scene("recall", lambda: qwen.ask("Why?", temperature=0.5, max_tokens=100))
        scene("await", lambda: asyncio.run(qwen.ask_async("Awaited?")))
        scene("stream", lambda: list(qwen.stream("Streamed?")))
        scene("many", lambda: qwen.ask_many(["One?", "Two?", "Why?"]))
        scene("column", lambda: frame.qwen.ask("Say {{ n }}", client=qwen, progress=False))
        scene("column again", lambda: frame.qwen.ask("Say {{ n }}", client=qwen, progress=False))
        scene("lazy", lambda: frame.lazy().qwen.ask("Tell {{ n }}", client=qwen, progress=False).collect())

        def failing():
            sim.fault(Fault("429", times=1, retry_after=0.1))
            sim.fault("422", times=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pl.DataFrame({"n": [7, 8, 9]}).qwen.ask(
                    "Fail {{ n }}", client=qwen, progress=False, concurrency=1
                )

        scene("failing", failing)

        def refused():
            sim.fault("501", times=1)
            try:
                qwen.ask("Refused?")
            except QwenError:
                pass

        scene("refused", refused)

        def threads():
            contexts = [threading.Thread(target=in_span, args=(n,)) for n in range(4)]
            for one in contexts:
                one.start()
            for one in contexts:
                one.join()

        def in_span(n):
            with tracer.start_as_current_span(f"thread {n}"):
                qwen.ask(f"In thread {n}?")

        scene("threads", threads)

        def door(question):
            qwen.openai.chat.completions.create(model="", messages=[{"role": "user", "content": question}])

        OpenAIInstrumentor().instrument()
        scene("door", lambda: door("Through the door?"))
        scene("door again", lambda: door("Through the door?"))

        async def async_door():
            chat = qwen.openai_async.chat.completions
            stream = await chat.create(
                model="", messages=[{"role": "user", "content": "In pieces?"}], stream=True
            )
            async for _ in stream:
                pass

        scene("async door", lambda: asyncio.run(async_door()))
        scene("cell", lambda: qwen.ask("Beside the instrumentor?"))
        OpenAIInstrumentor().uninstrument()

    # Where hanging up ends a request, too: at OpenRouter it would be read to its end, for it is paid for.
    with Simulator("vllm") as sim:
        sim.fault(Fault("hang", times=1))
        qwen = Qwen(endpoint=f"vllm+{sim.base_url}", cache_dir=folder / "stopped")

        def stopped():
            pl.DataFrame({"n": [1, 2]}).qwen.ask(
                "Stop {{ n }}", client=qwen, concurrency=1, progress=lambda far: far.stop(), on_error="column"
            )
            until(lambda: len(exporter.get_finished_spans()) == 2, "both spans have ended")

        scene("stopped", stopped)

    def simulate(dialect="openrouter", **settings):
        simulators.append(Simulator(dialect, **settings).start())
        return simulators[-1]

    def client(simulator, **settings):
        return Qwen(endpoint=f"openrouter+{simulator.base_url}", cache_dir=folder / "secret", **settings)

    simulators: list[Simulator] = []
    scene("secrets", lambda: ask_with_secrets(simulate, client, folder))
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    with Simulator("openrouter", script=lambda asked: "the answer") as sim:
        qwen = Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-sim", cache_dir=folder / "captured")
        scene("captured", lambda: qwen.ask("the question", system="the system"))
    for one in simulators:
        one.stop()
    measured = json.loads(reader.get_metrics_data().to_json())
    print(json.dumps({"scenes": scenes, "metrics": measured, "made_before": made_before is not None}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
