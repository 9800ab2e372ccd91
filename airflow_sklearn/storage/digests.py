"""Whether an object holds what was stored there."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_sklearn.exceptions import ObjectChangedError


def check_digest(stream: Any, sha256: str, uri: str) -> None:
    """Read a stream to its end.

    :param uri: of the object, for the message.
    :raises ObjectChangedError: it has another digest.
    """
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ObjectChangedError(
            f"{uri} has the SHA-256 {found}, but {sha256} was stored there: it was damaged or overwritten since. "
            "Fix: delete it, and clear the predict tasks: only what is missing is computed again."
        )
