"""Finding the objects of a held-out source, on whose rows a model is validated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.validation import HeldOutRows
from airflow_sklearn.datasets.base import WantedColumns
from airflow_sklearn.datasets.registry import as_source
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from airflow_sklearn.contract.validation import HeldOut
    from airflow_sklearn.datasets.base import Attempt, Source


def find_held_out(attempt: Attempt, asked: HeldOut) -> HeldOutRows:
    """Find the objects of a held-out source.

    :raises UserError: the source is no files.
    :raises ObjectNotFoundError: it matches no object.
    """
    source = as_source(asked.source)
    check_is_files(source)
    files = source.resolve(attempt, WantedColumns({})).files
    return HeldOutRows(source=files, objects=attempt.storage.expand(files.uris))


def check_is_files(source: Source) -> None:
    """Check that a held-out source is files.

    :raises UserError: it is a table, which one task would have to unload beside its training table.
    """
    if not source.is_in_place:
        raise UserError(
            f"HeldOut: {source.name} is a table. Fix: give files (a URI, several, or a Dataset); of a table, those "
            "that UNLOAD has written, Dataset('s3://acme/unload/manifest', manifest=True); or leave held-out rows in "
            "the training table, and give GroupFolds or TimeFolds."
        )
