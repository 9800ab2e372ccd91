"""Tables of a kind from outside of the package are learned from, predicted and published into by the operators."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.tables import OutputStore
from airflow_sklearn.datasets.registry import destination_of, register_kind
from airflow_sklearn.exceptions import UserError
from tests.operators.conftest import ROWS, predict, train
from tests.operators.database import Run

RunDag = Callable[..., Run]
IMPORT = "from tests.plugins.sqlite_table import SqliteTable\n"


def _query(database: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.db"
    _query(path, "CREATE TABLE customers (id INTEGER, x REAL, kind TEXT, y INTEGER, note TEXT)")
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [(i, (i * 37 % 101) / 10, "abc"[i % 3], int(i * 37 % 101 > 50), "n") for i in range(ROWS)]
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", rows)
    return path


def _table(database: Path, name: str) -> str:
    return f"SqliteTable('{database}', '{name}', '{database.parent}/staging')"


def _group(database: Path, **changes: str) -> str:
    options = {
        "source": _table(database, "customers"),
        "destination": _table(database, "scores"),
        "passthrough": "['kind']",
        **changes,
    }
    return predict(database.parent, **options)


def test_a_table_of_a_kind_from_outside_is_learned_from_and_predicted_into(run_dag: RunDag, database: Path) -> None:
    source = {"source": _table(database, "customers"), "excluded_columns": "['note']"}
    run = run_dag(IMPORT + train(database.parent, **source) + _group(database))
    assert run.state == "success"
    assert run.xcom("train")["rows"] == ROWS
    done = run.xcom("score.commit")
    assert (done["rows"], done["published"], done["uri"]) == (ROWS, True, "x-sqlite://main/scores")
    rows = _query(
        database, "SELECT s.id, s.kind, s.y_proba_1 > 0.5, c.y FROM scores s JOIN customers c USING (id, kind)"
    )
    assert len(rows) == ROWS
    assert sum(bool(predicted) == bool(y) for _, _, predicted, y in rows) > 0.9 * ROWS
    left = [path.name for path in (database.parent / "staging").rglob("unloads/**/*") if path.is_file()]
    assert left == ["snapshot.json"], "what was exported has served"


def test_what_does_not_fit_is_said_before_anything_is_exported(
    run_dag: RunDag, database: Path, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_dag(IMPORT + _group(database, model=model, passthrough="['colour']"))
    assert run.state == "failed"
    assert "the table customers has no column 'colour'" in capfd.readouterr().out
    assert not list((database.parent / "staging").rglob("unloads/**/*"))


def test_a_plan_of_a_kind_that_is_not_installed_says_what_to_do() -> None:
    stored = OutputStore(kind="snowflake", uri="x-snowflake://a/b", ledger_root="file:///ledgers")
    with pytest.raises(UserError, match=r"no destination of the kind 'snowflake'.*install the package"):
        destination_of(stored)


def test_a_kind_that_is_taken_is_not_given_to_another_class() -> None:
    with pytest.raises(UserError, match="The kind 'redshift' is airflow_sklearn"):
        register_kind("redshift", source="tests.plugins.sqlite_table:SqliteSource")
