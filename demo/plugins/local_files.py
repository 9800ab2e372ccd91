"""An Airflow plugin for the demo: shows the demo's files in the UI, which offers no ``file://`` links.

Every Airflow process imports plugins: this one is a bare ASGI application, and imports nothing heavy until it is asked.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/local-files"
#: Nothing outside of this folder is shown.
ROOT = Path(unquote(urlsplit(os.environ["FLIGHTS_ROOT"]).path)).resolve()
SHOWN_ROWS, SHOWN_BYTES = 100, 1_000_000
STYLE = "body{font-family:sans-serif;margin:2em}td,th{padding:2px 10px;text-align:left}pre{white-space:pre-wrap}"


async def local_files(scope: dict[str, Any], _: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer one request with a page."""
    if scope["type"] != "http":
        return
    wanted = Path(scope["path"].removeprefix(scope.get("root_path", "")) or "/").resolve()
    there = wanted.is_relative_to(ROOT) and wanted.exists()
    body = page(wanted) if there else f"<p>There is no {html.escape(str(wanted))} in {html.escape(str(ROOT))}.</p>"
    document = f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><h3>{html.escape(wanted.name)}</h3>{body}"
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200 if there else 404, "headers": headers})
    await send({"type": "http.response.body", "body": document.encode()})


def page(path: Path) -> str:
    """A folder as links, a table as its first rows, JSON indented, the beginning of anything else."""
    if path.is_dir():
        return "".join(_item(inside) for inside in sorted(path.iterdir()))
    if path.suffix == ".parquet":
        return _first_rows(path)
    with path.open("rb") as file:
        text = file.read(SHOWN_BYTES).decode(errors="replace")
    if path.suffix == ".json":
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return f"<pre>{html.escape(text)}</pre>"


def _item(path: Path) -> str:
    size = "" if path.is_dir() else f" ({path.stat().st_size:,} bytes)"
    return f'<p><a href="{PREFIX}{quote(str(path))}">{html.escape(path.name)}{"/" * path.is_dir()}</a>{size}</p>'


def _first_rows(path: Path) -> str:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    first = next(file.iter_batches(batch_size=SHOWN_ROWS), None)
    rows = first.to_pandas().to_html(index=False, border=0) if first is not None else ""
    return f"<p>{file.metadata.num_rows:,} rows, of which these are the first:</p>{rows}"


class LocalFilesPlugin(AirflowPlugin):
    """Mounts the pages below the UI's own address."""

    name = "demo_local_files"
    fastapi_apps = [{"app": local_files, "url_prefix": PREFIX, "name": "The demo's files"}]
