"""Message queues that deliver a message again if the worker that received it is lost: Amazon SQS, and folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.pool.queues.base import Message, Queue
from airflow_sklearn.pool.queues.folder import FolderQueue
from airflow_sklearn.pool.queues.sqs import SqsQueue

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Message", "Queue", "open_queue"]


def open_queue(uri: str, client: Callable[[str, str | None], Any] | None = None) -> Queue:
    """The queue at a URI. It need not exist yet.

    :param uri: ``sqs://region/name`` or ``file:///folder``.
    :param client: makes boto3 clients; called with ``"sqs"`` and the region. None: ``boto3.client``.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        return FolderQueue(rest)
    region, _, name = rest.partition("/")
    if scheme != "sqs" or not name:
        raise UserError(f"{uri!r} is no queue: sqs://region/name or file:///folder.")
    make = client or _boto3_client
    return SqsQueue(name, make("sqs", region or None))


def _boto3_client(service: str, region: str | None) -> Any:
    import boto3

    return boto3.client(service, region_name=region)
