"""Calling the command as a shell does, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from airflow_sklearn.cli.app import app

Call = Callable[..., Any]


def called(*arguments: object, code: int = 0) -> Any:
    """Call the command with ``--json``; the document that it prints.

    :param code: the exit code that it must have.
    """
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def printed(*arguments: object, code: int = 0) -> str:
    """Call the command; all that it prints."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.output


@pytest.fixture(name="called")
def called_fixture() -> Call:
    return called


@pytest.fixture(name="printed")
def printed_fixture() -> Call:
    return printed


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder: paths on a command line are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
