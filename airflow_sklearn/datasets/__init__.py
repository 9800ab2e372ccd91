"""Sources and destinations of rows: files, and tables of databases. Each kind is a module or a folder."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "Dataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_sklearn.datasets.files import Dataset  # imported late, because workers have no Airflow

    return Dataset
