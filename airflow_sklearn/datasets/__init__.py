"""Where data start and end: files, and tables of databases. One module or folder for each kind."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "Dataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_sklearn.datasets.files import Dataset  # not before: workers have no Airflow

    return Dataset
