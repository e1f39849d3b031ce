"""Other people's libraries over `qwen.openai` and `qwen.openai_async`: one small program each, as their pages show them.

    python -m tests.client.peers NAME BASE_URL FOLDER

Each prints what it was given, as one line of JSON. Nothing of ours but `Qwen` is used. They run in an environment of their
own (`tests/setup.py` makes it), because instructor holds openai at an old version.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pydantic

from qwennb import Qwen

MODEL = "qwen3.5-flash"
ASKED = [{"role": "user", "content": "Read the order: two boxes of tea."}]


class Order(pydantic.BaseModel):
    """An order."""

    item: str
    amount: int


def instructor(qwen: Qwen) -> Any:
    """A form, asked for in the prompt, as a tool, and over the asynchronous client."""
    from instructor import Mode, from_openai

    asked = {"model": MODEL, "messages": ASKED, "response_model": Order}
    in_prompt = from_openai(qwen.openai, mode=Mode.JSON).chat.completions.create(**asked)
    as_tool = from_openai(qwen.openai, mode=Mode.TOOLS).chat.completions.create(**asked)
    waited_for = asyncio.run(from_openai(qwen.openai_async, mode=Mode.TOOLS).chat.completions.create(**asked))
    return [order.model_dump() for order in (in_prompt, as_tool, waited_for)]


def pydantic_ai(qwen: Qwen) -> Any:
    """An agent with a tool, and a form for its output."""
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=qwen.openai_async))
    agent = Agent(model, output_type=Order)

    @agent.tool_plain
    def stock(item: str) -> int:
        """How many boxes of an item there are."""
        return {"tea": 12}[item]

    return agent.run_sync(ASKED[0]["content"]).output.model_dump()


def langchain(qwen: Qwen) -> Any:
    """A chat model, whole, as a stream, and with a form."""
    from langchain_openai import ChatOpenAI

    door = qwen.openai
    model = ChatOpenAI(
        model=MODEL, api_key="none", client=door.chat.completions, root_client=door, use_responses_api=False
    )
    form = model.with_structured_output(Order, method="json_schema").invoke(ASKED[0]["content"])
    stream = "".join(str(piece.content) for piece in model.stream("Hello again"))
    return [model.invoke("Hello").content, stream, form.model_dump()]


def litellm(qwen: Qwen) -> Any:
    """Its one function, whole and as a stream."""
    import litellm as lite

    asked = {"model": f"openai/{MODEL}", "client": qwen.openai}
    whole = lite.completion(messages=[{"role": "user", "content": "Hello"}], **asked)
    stream = lite.completion(messages=[{"role": "user", "content": "Hello again"}], stream=True, **asked)
    return [
        whole.choices[0].message.content,
        "".join(piece.choices[0].delta.content or "" for piece in stream),
    ]


def main(name: str, base_url: str, folder: str) -> None:
    """Ask twice, each time with a client of its own over the same folder."""
    for _ in range(2):
        qwen = Qwen(endpoint=f"openrouter+{base_url}", api_key="sk-sim", cache_dir=folder)
        print(json.dumps(globals()[name](qwen)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
