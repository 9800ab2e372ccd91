from __future__ import annotations

import asyncio
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("airflow", reason="the plugin is Airflow's")
pa = pytest.importorskip("pyarrow")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plugin's module, showing ``tmp_path / "flights"``."""
    (tmp_path / "flights").mkdir()
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setenv("FLIGHTS_ROOT", (tmp_path / "flights").as_uri())
    sys.modules.pop("demo.plugins.local_files", None)
    return importlib.import_module("demo.plugins.local_files")


def get(files: ModuleType, path: Path | str) -> tuple[int, str]:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": f"{files.PREFIX}{path}", "root_path": files.PREFIX}
    asyncio.run(files.local_files(scope, None, send))
    return sent[0]["status"], sent[1]["body"].decode()  # type: ignore[return-value, attr-defined]


def test_a_folder_links_to_what_is_in_it(files: ModuleType) -> None:
    (files.ROOT / "a b.json").write_text(json.dumps({"rows": 1}))
    status, body = get(files, files.ROOT)
    assert status == 200
    assert f'href="{files.PREFIX}{files.ROOT}/a%20b.json"' in body


def test_json_is_indented_and_escaped(files: ModuleType) -> None:
    (files.ROOT / "x.json").write_text(json.dumps({"name": "<b>"}))
    assert "{\n  &quot;name&quot;: &quot;&lt;b&gt;&quot;\n}" in get(files, files.ROOT / "x.json")[1]


def test_a_table_shows_its_first_rows_and_how_many_there_are(files: ModuleType) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"flight_id": [f"id-{number}" for number in range(1000)]}), files.ROOT / "part.parquet")
    body = get(files, files.ROOT / "part.parquet")[1]
    assert "1,000 rows" in body
    assert "id-99<" in body
    assert "id-100<" not in body


def test_nothing_outside_of_the_demos_files_is_shown(files: ModuleType) -> None:
    (files.ROOT / "link").symlink_to(files.ROOT.parent / "secret")
    for path in (files.ROOT.parent / "secret", f"{files.ROOT}/../secret", files.ROOT / "link", files.ROOT / "nothing"):
        status, body = get(files, path)
        assert status == 404
        assert "<pre>" not in body
