"""Airflow's metadata, read as it is stored: in SQLite or in PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

AIRFLOW_2 = version("apache-airflow").startswith("2.")


@dataclass(frozen=True)
class Database:
    """A database of Airflow.

    :param url: as in Airflow's ``sql_alchemy_conn``.
    """

    url: str

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, with a ``?`` for each of ``values``."""
        with _engine(self.url).connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(self._sql(sql), values)]

    def write(self, sql: str, *values: Any) -> None:
        """Run one statement."""
        with _engine(self.url).begin() as connection:
            connection.exec_driver_sql(self._sql(sql), values)

    def _sql(self, sql: str) -> str:
        return sql.replace("?", "%s") if self.url.startswith("postgresql") else sql


@dataclass
class Run:
    """One DAG run as Airflow's database tells it."""

    database: Database
    dag_id: str
    run_id: str
    state: str

    def states(self, task_id: str) -> dict[int, str]:
        """State by map index."""
        return dict(self._query("SELECT map_index, state FROM task_instance WHERE {} AND task_id = ?", task_id))

    def attempts(self, task_id: str) -> int:
        return int(self._query("SELECT try_number FROM task_instance WHERE {} AND task_id = ?", task_id)[0][0])

    def labels(self, task_id: str) -> list[str]:
        query = "SELECT rendered_map_index FROM task_instance WHERE {} AND task_id = ? ORDER BY map_index"
        return [label for (label,) in self._query(query, task_id)]

    def xcom(self, task_id: str, map_index: int = -1, key: str = "return_value") -> Any:
        column = "value" if AIRFLOW_2 else "CAST(value AS TEXT)"  # bytes there, JSON here
        query = f"SELECT {column} FROM xcom WHERE {{}} AND task_id = ? AND map_index = ? AND key = ?"
        found = self._query(query, task_id, map_index, key)
        return json.loads(bytes(found[0][0]) if AIRFLOW_2 else found[0][0]) if found else None

    def xcoms(self, task_id: str) -> list[Any]:
        """Of all mapped tasks, in order."""
        return [self.xcom(task_id, index) for index in sorted(self.states(task_id))]

    def _query(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.database.query(query.format("dag_id = ? AND run_id = ?"), self.dag_id, self.run_id, *values)


@cache
def _engine(url: str) -> Engine:
    if url.startswith("sqlite"):
        return create_engine(url, poolclass=NullPool, connect_args={"timeout": 120})
    return create_engine(url)  # a connection to PostgreSQL is a process of its own: it is kept
