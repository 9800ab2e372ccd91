"""Bytes in and out of ``file://`` and ``s3://``: ranges, If-Match, create-if-absent, listing, atomic publication.

Built on boto3 and the standard library: a worker forks after its model is loaded, and clients here are made anew in a
forked process, which stores with a runtime of their own (a thread pool, an event loop) cannot do.
"""

from __future__ import annotations

from airflow_sklearn.storage.storage import Storage
from airflow_sklearn.storage.uris import join, parent

__all__ = ["Storage", "join", "parent"]
