"""Files in S3, and S3's errors in Redshift's words."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.redshift.errors import RedshiftError

_THREADS = 8


def location(url: str) -> tuple[str, str]:
    """Bucket and key.

    :raises RedshiftError: it is no S3 URL.
    """
    found = re.fullmatch(r"s3://([^/]+)/?(.*)", url, re.DOTALL)
    if not found:
        raise RedshiftError(f"The S3 path '{url}' is not valid: expected s3://bucket/prefix", "42601")
    return found.group(1), found.group(2)


def service_error(error: Exception, key: str = "") -> RedshiftError:
    """What Redshift says of an error of S3's."""
    if isinstance(error, ClientError):
        said, status = error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        text = f"S3ServiceException:{said.get('Message', '')},Status {status},Error {said['Code']},Key {key},CanRetry 1"
    else:
        text = f"S3CurlException: {error}, CurlError 28,CanRetry 1,Key {key}"
    return RedshiftError(text, "XX000", text)


def read(s3: Any, bucket: str, key: str) -> bytes:
    """A whole object.

    :raises RedshiftError: it cannot be read.
    """
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except (BotoCoreError, ClientError) as error:
        raise service_error(error, key) from error


def write(s3: Any, bucket: str, key: str, content: bytes | memoryview) -> None:
    """A whole object.

    :raises RedshiftError: it cannot be written.
    """
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(content))
    except (BotoCoreError, ClientError) as error:
        raise service_error(error, key) from error


def listed(s3: Any, bucket: str, prefix: str) -> list[str]:
    """The keys that begin with the prefix.

    :raises RedshiftError: they cannot be listed.
    """
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]
    except (BotoCoreError, ClientError) as error:
        raise service_error(error, prefix) from error


def remove(s3: Any, bucket: str, keys: list[str]) -> None:
    """:raises RedshiftError: they cannot be removed."""
    try:
        for start in range(0, len(keys), 1000):
            some = [{"Key": key} for key in keys[start : start + 1000]]
            s3.delete_objects(Bucket=bucket, Delete={"Objects": some})
    except (BotoCoreError, ClientError) as error:
        raise service_error(error, keys[0]) from error


def pool() -> ThreadPoolExecutor:
    """For requests that go on at the same time."""
    return ThreadPoolExecutor(_THREADS)
