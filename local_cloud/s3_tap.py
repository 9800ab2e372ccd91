"""An S3 endpoint that passes requests on to another one, and keeps what was asked: for processes of others."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from local_cloud.ministack import Cloud

#: Between two machines only, not for who is behind.
_OF_THE_CONNECTION = ("connection", "expect", "keep-alive", "transfer-encoding")
Call = tuple[str, dict[str, Any]]


class Tap:
    """Requests by operation and parameters, as boto3 names them."""

    def __init__(self, url: str, cloud: Cloud) -> None:
        self.cloud = Cloud(url, cloud.region, cloud.access_key, cloud.secret_key)
        """The same S3, through the tap."""
        self.calls: list[Call] = []

    @property
    def operations(self) -> set[str]:
        return {name for name, _ in self.calls}


@contextmanager
def tapped(cloud: Cloud) -> Iterator[Tap]:
    """A tap on a loopback port, open until the block ends."""

    class Handler(_Handler):
        target = urlsplit(cloud.endpoint).netloc

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.tap = tap = Tap(f"http://127.0.0.1:{server.server_port}", cloud)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield tap
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    target: str
    tap: Tap

    def _pass_on(self) -> None:
        body = self._body()
        self.tap.calls.append(call(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        connection = HTTPConnection(self.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in (*_OF_THE_CONNECTION, "content-length"):
                self.send_header(name, value)
        length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:
        pass


def call(method: str, target: str, headers: dict[str, str], body: bytes) -> Call:
    """The operation of a request whose bucket is in its path."""
    url = urlsplit(target)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    asked = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
    if not key:
        if method == "POST" and "delete" in asked:
            names = [one.text for one in ElementTree.fromstring(body).iter() if re.search(r"\bKey$", one.tag)]
            return "DeleteObjects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": name} for name in names]}}
        if method == "GET" and asked.get("list-type") == "2":
            return "ListObjectsV2", {"Bucket": bucket, "Prefix": asked.get("prefix", "")}
        return f"{method} {target}", {"Bucket": bucket}
    given = {"Bucket": bucket, "Key": key}
    if source := headers.get("x-amz-copy-source"):
        given["CopySource"] = source
    if method == "PUT" and (etag := headers.get("if-match")):
        given["IfMatch"] = etag
    return _operation(method, asked, copies=bool(source)), given


def _operation(method: str, asked: dict[str, str], *, copies: bool) -> str:
    if method == "PUT":
        piece = "partNumber" in asked
        return ("UploadPartCopy" if copies else "UploadPart") if piece else ("CopyObject" if copies else "PutObject")
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in asked else "CompleteMultipartUpload"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in asked else "DeleteObject"
    return {"GET": "GetObject", "HEAD": "HeadObject"}[method]
