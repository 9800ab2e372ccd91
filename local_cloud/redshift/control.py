"""How tests reach into the stand-in: a small HTTP server beside it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local_cloud.redshift.faults import Faults, Rule
from local_cloud.redshift.journal import Journal


class Control(ThreadingHTTPServer):
    """Takes rules, tells what was seen. JSON in, JSON out."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], journal: Journal, faults: Faults) -> None:
        super().__init__(address, _Handler)
        self.journal, self.faults = journal, faults

    def answer(self, method: str, path: str, body: Any) -> Any:
        """:raises KeyError: there is no such thing."""
        match (method, *path.strip("/").split("/")):
            case ("GET", "health"):
                return {}
            case ("GET", "statements"):
                return self.journal.statements()
            case ("POST", "rules"):
                rule = Rule(**body)
                number = self.faults.add(rule)
                if rule.action == "pause":
                    self.journal.close_gate(number)
                return {"number": number}
            case ("GET", "rules", number):
                return {"fired": self.faults.fired(int(number))}
            case ("DELETE", "rules", number):
                self.faults.remove(int(number))
                self.journal.open_gate(int(number))
                return {}
        raise KeyError(path)


class _Handler(BaseHTTPRequestHandler):
    server: Control

    def do_GET(self) -> None:
        self._do("GET")

    def do_POST(self) -> None:
        self._do("POST")

    def do_DELETE(self) -> None:
        self._do("DELETE")

    def _do(self, method: str) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = 200, self.server.answer(method, self.path, json.loads(content or b"null"))
        except Exception as error:  # the test that asked is told
            status, answer = 400, {"error": repr(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: a test that waits asks often."""
