"""Load our tools as jupyter-server-mcp does, list them and call them; run by the Python of `.venv-loaders`.

    python -m tests.agent_tools CALLS      CALLS is JSON: [[name, {argument: value}], …]

Printed as JSON: the tools (name, description, schema of the arguments), what each call gave or refused, and the connections that
were tried meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys

from fastmcp import Client
from jupyter_server_mcp.extension import MCPExtensionApp
from jupyter_server_mcp.mcp_server import MCPServer

tried: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    # A pair of connected sockets is an event loop's own.
    if event in (
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
        "os.system",
    ):
        tried.append(f"{event} {arguments[1:]!r}")


async def call_all(server: MCPServer, calls: list[tuple[str, dict[str, object]]]) -> dict[str, object]:
    async with Client(server.mcp) as client:
        tools = await client.list_tools()
        sys.addaudithook(watch)
        given = []
        for name, arguments in calls:
            result = await client.call_tool(name, arguments, raise_on_error=False)
            texts = [part.text for part in result.content]
            given.append(
                {
                    "refused": result.is_error,
                    "value": result.data if not result.is_error else None,
                    "text": "\n".join(texts),
                }
            )
    listed = [
        {"name": tool.name, "description": tool.description, "schema": tool.input_schema} for tool in tools
    ]
    return {"tools": listed, "given": given, "tried": tried}


app = MCPExtensionApp()
app.mcp_server_instance = MCPServer(name="test")
specs = app._discover_entrypoint_tools()
app._register_tools(specs, source="entrypoints")
print(
    json.dumps(
        {"specs": specs, **asyncio.run(call_all(app.mcp_server_instance, json.loads(sys.argv[1])))},
        default=str,
    )
)
