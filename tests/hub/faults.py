"""A proxy on loopback in front of a Hub that answers as networks and Hubs do on bad days."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["drop", "truncate", "corrupt", "delay", "stall", "busy", "broken", "stale"]
_STATUS = {"busy": 429, "broken": 500, "stale": 412}


@dataclass
class Fault:
    """What goes wrong, ``times`` times, with requests whose path has ``part`` in it.

    ``whole`` spares requests for a part of a file that ends before the file does, such as a header.
    """

    kind: Kind
    part: str
    times: int = 1
    method: str = "GET"
    whole: bool = False

    def strikes(self, method: str, path: str, asked: str) -> bool:
        if self.whole and asked and not asked.endswith("-"):
            return False
        if self.times and method == self.method and self.part in path:
            self.times -= 1
            return True
        return False


class FaultyProxy:
    """``endpoint`` stands before ``target``; ``requests`` are (method, path, Range header)."""

    def __init__(self, target: str, *faults: Fault) -> None:
        self.faults = list(faults)
        self.requests: list[tuple[str, str, str]] = []
        self._target = urlsplit(target)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = (handler.command, handler.path, handler.headers.get("Range", ""))
        self.requests.append(request)
        fault = next((each for each in self.faults if each.strikes(*request)), None)
        if fault is not None and fault.kind in _STATUS:
            return _refuse(handler, _STATUS[fault.kind])
        if fault is not None and fault.kind == "drop":
            handler.close_connection = True
            return None
        if fault is not None and fault.kind == "delay":
            time.sleep(1)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        connection = http.client.HTTPConnection(str(self._target.hostname), self._target.port)
        connection.request(handler.command, handler.path, body or None, dict(handler.headers))
        _pass_on(handler, connection.getresponse(), fault.kind if fault else None)
        connection.close()
        return None


def _refuse(handler: BaseHTTPRequestHandler, status: int) -> None:
    body = b'{"error": "a bad day"}'
    handler.send_response(status)
    handler.send_header("Retry-After", "1")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


def _pass_on(handler: BaseHTTPRequestHandler, answer: Any, kind: Kind | None) -> None:
    content = bytearray(answer.read())
    handler.send_response(answer.status)
    for name, value in answer.getheaders():
        if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
            handler.send_header(name, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    if kind == "corrupt" and content:
        content[len(content) // 2] ^= 0xFF
    if kind == "truncate":
        content = content[: len(content) // 2]
    if kind == "stall":
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        time.sleep(60)
        return
    handler.wfile.write(content)
    handler.close_connection = True


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            proxy.answer(self)

        do_GET = do_POST = do_PUT = do_HEAD = _answer

        def log_message(self, *_arguments: object) -> None: ...

    return Handler
