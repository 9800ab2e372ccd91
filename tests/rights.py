"""As much of IAM as our policies use, and the rights that requests take. No real IAM is at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from local_cloud import ministack


class Role:
    """Whoever has the policy."""

    def __init__(self, policy: Mapping[str, Any]) -> None:
        self.statements = policy["Statement"]

    def may(self, action: str, resource: str, **context: str) -> bool:
        """:param context: values of condition keys, with ``__`` for the colon."""
        keys = {name.replace("__", ":"): value for name, value in context.items()}
        return any(
            action in as_list(one["Action"])
            and any(matches(pattern, resource) for pattern in one["Resource"])
            and all(holds(test, wanted, keys) for test, wanted in one.get("Condition", {}).items())
            for one in self.statements
        )

    def may_on_object(self, action: str, uri: str) -> bool:
        return self.may(f"s3:{action}", f"arn:aws:s3:::{uri.removeprefix('s3://')}")


def holds(test: str, wanted: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """A key that the request does not have fulfils no condition."""
    like = {"StringLike": matches, "ArnLike": matches, "ArnEquals": matches}.get(test)
    if like is None and test != "StringEquals":
        raise NotImplementedError(test)
    equal = like or str.__eq__
    return all(
        key in context and any(equal(value, context[key]) for value in as_list(values))
        for key, values in wanted.items()
    )


def matches(pattern: str, text: str) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


Need = tuple[str, str, dict[str, str]]


def s3_needs(operation: str, params: dict[str, Any]) -> Iterator[Need]:
    """The rights that an operation of S3 takes, after "Required permissions" in its page of the API reference."""
    bucket = f"arn:aws:s3:::{params['Bucket']}"
    if operation == "ListObjectsV2":
        yield "s3:ListBucket", bucket, {"s3__prefix": params["Prefix"]}
        return
    if operation == "DeleteObjects":
        for one in params["Delete"]["Objects"]:
            yield "s3:DeleteObject", f"{bucket}/{one['Key']}", {}
        return
    target = f"{bucket}/{params['Key']}"
    if operation in ("GetObject", "HeadObject"):
        yield "s3:GetObject", target, {}
        # To be told that an object is not there, and not that it is denied.
        yield "s3:ListBucket", bucket, {"s3__prefix": params["Key"]}
        return
    if operation == "AbortMultipartUpload":
        yield "s3:AbortMultipartUpload", target, {}
        return
    assert operation in (
        "PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload",
    ), f"{operation} is new: say here which rights it takes"  # fmt: skip
    yield "s3:PutObject", target, {}
    if params.get("IfMatch"):
        yield "s3:GetObject", target, {}
    if source := params.get("CopySource"):
        name = f"{source['Bucket']}/{source['Key']}" if isinstance(source, dict) else unquote(source).lstrip("/")
        yield "s3:GetObject", f"arn:aws:s3:::{name}", {}


def refused(role: Role, calls: list[tuple[str, dict[str, Any]]], needs: Callable[..., Iterator[Need]]) -> list[str]:
    return [
        f"{operation}: {action} on {resource} {context}"
        for operation, params in calls
        for action, resource, context in needs(operation, params)
        if not role.may(action, resource, **context)
    ]


class Recorder:
    """Makes clients, and keeps what is asked through them: operation and parameters."""

    def __init__(self, cloud: ministack.Cloud) -> None:
        self.cloud = cloud
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def client(self, service: str = "s3", region_name: str | None = None, *, attempts: int | None = None) -> Any:
        client = self.cloud.client(service, attempts)
        client.meta.events.register_first(f"provide-client-params.{service}", self._record)
        return client

    def environment(self) -> dict[str, str]:
        return {}

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, dict(params)))

    @property
    def operations(self) -> set[str]:
        return {name for name, _ in self.calls}
