"""Ask an ASGI app for one path, without a server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def get(app: ASGIApp, target: str, host: str = "localhost") -> Answer:
    """The answer to GET of a path with its query."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": [(b"host", host.encode())], "scheme": "http",
        "server": ("localhost", 80), "client": ("127.0.0.1", 9), "http_version": "1.1",
    }  # fmt: skip
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(dict(message))

    with ThreadPoolExecutor(1) as thread:  # this thread may have an event loop that runs
        thread.submit(lambda: asyncio.run(app(scope, receive, send))).result()
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return Answer(messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:]))
