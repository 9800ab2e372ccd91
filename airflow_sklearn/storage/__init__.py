"""Reading and writing objects at ``file://`` and ``s3://`` URIs, and at those of registered schemes.

Ranges, If-Match, create-if-absent, listing. A write stores an object whole or not at all.

The package uses boto3 and the standard library only. A worker process forks after it has loaded its model, and each
forked process must make S3 clients of its own. Storage libraries with a thread pool or an event loop do not survive a
fork.
"""

from __future__ import annotations

from airflow_sklearn.storage.storage import Storage, use_aws
from airflow_sklearn.storage.uris import join, parent

__all__ = ["Storage", "join", "parent", "use_aws"]
