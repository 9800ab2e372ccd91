"""The tutorial's code, run from top to bottom as a reader runs it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_code_of_the_tutorial_runs(
    airflow_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    dag, *later = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = airflow_home / "dags" / "first.py"
    file.write_text(dag.replace("LocalRuntime()", f"LocalRuntime(state_dir='{tmp_path}/state', processes=1)"))
    try:
        names: dict[str, Any] = runpy.run_path(str(file), run_name="__main__")
    finally:
        file.unlink()
    capsys.readouterr()
    exec("\n".join(later), names)
    assert list(names["scores"].columns) == ["id", "target_proba_0", "target_proba_1"]
    assert len(names["scores"]) == 569
    assert names["page"].stat().st_size > 10_000
    assert "'mean radius'" in capsys.readouterr().out
    assert not (tmp_path / "first" / "scores" / "broken").exists()
