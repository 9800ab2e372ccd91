"""Pages that jobs write."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_sklearn.contract.shown import told

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger("airflow_sklearn.worker")


def add_model_page(storage: Storage, manifest_uri: str) -> None:
    """Write the page of a new version beside its manifest. If that fails, the log says so, and the version stays."""
    try:
        from airflow_sklearn.report.stored import write_model_page

        _LOG.info("The model's page is %s", write_model_page(storage, manifest_uri))
    except Exception as error:
        _LOG.warning("The model has no page, because this failed: %s", told(error, f"{type(error).__name__}: {error}"))
        _LOG.debug("The error in full:", exc_info=True)
