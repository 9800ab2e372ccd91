"""TRUNCATE, which commits in Redshift, whatever the transaction has done before."""

from __future__ import annotations

from local_cloud.redshift.lexer import joined
from local_cloud.redshift.session import Work


def truncate(work: Work) -> None:
    """Empty the table and commit."""
    work.backend.query(joined(work.translation.original))
    if work.backend.status == "T":
        work.backend.query("COMMIT")
