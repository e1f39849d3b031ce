"""Run by tests in a process of its own, for what is read from the environment: calls through each transport.

Reads a JSON list of steps from stdin, `{"environ": {…}, "base_url": …, "key": true}`; prints a JSON list of what both
transports told at each: the payloads, or the class and the words of the error.
"""

import asyncio
import json
import os
import sys

from qwennb.errors import EndpointError

from .wire import KEY, TRANSPORTS, call, sent


async def tell(step):
    told = []
    for make in TRANSPORTS.values():
        try:
            made = call(step["base_url"], key=KEY if step["key"] else None, stream=False)
            told.append([payload.data for payload in await sent(make(), made)])
        except EndpointError as error:
            told.append({"error": type(error).__name__, "words": str(error)})
    return told


def main():
    usual, told = dict(os.environ), []
    for step in json.load(sys.stdin):
        os.environ.clear()
        os.environ.update(usual | step["environ"])
        told.append(asyncio.run(tell(step)))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
