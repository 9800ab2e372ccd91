"""Checking that an object holds the content that was stored there."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_sklearn.exceptions import ObjectChangedError


def check_digest(stream: Any, sha256: str, uri: str) -> None:
    """Read a stream to its end and compare its SHA-256.

    :param stream: a binary file object, at its beginning.
    :param sha256: the expected digest, as lower-case hexadecimal digits.
    :param uri: the object's URI, for the message.
    :raises ObjectChangedError: the content has another digest.
    """
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ObjectChangedError(
            f"{uri} has the SHA-256 {found}, but {sha256} was stored there: it was damaged or overwritten since. "
            "Fix: delete it, and clear the predict tasks: only what is missing is computed again."
        )
