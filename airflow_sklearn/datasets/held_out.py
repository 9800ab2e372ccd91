"""Finding the objects of a held-out source, on whose rows a model is validated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.validation import HeldOutRows
from airflow_sklearn.datasets.base import WantedColumns
from airflow_sklearn.datasets.registry import as_source
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from airflow_sklearn.contract.validation import HeldOut
    from airflow_sklearn.datasets.base import Attempt


def find_held_out(attempt: Attempt, asked: HeldOut) -> HeldOutRows:
    """Find the objects of a held-out source.

    :raises UserError: the source is no files.
    :raises ObjectNotFoundError: it matches no object.
    """
    source = as_source(asked.source)
    if not source.is_in_place:
        raise UserError("HeldOut: give files (a URI, several, or a Dataset). A table is unloaded first.")
    files = source.resolve(attempt, WantedColumns({})).files
    return HeldOutRows(source=files, objects=attempt.storage.expand(files.uris))
