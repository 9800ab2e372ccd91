"""S3's answer 409 to a conditional write: it is not decided yet. The local S3 never gives it."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.exceptions import ObjectChangedError, ObjectExistsError
from airflow_sklearn.storage import Storage, s3


class Undecided:
    """A client that answers 409 so often, and then something else."""

    def __init__(self, conflicts: int, code: str = "") -> None:
        self.conflicts, self.code = conflicts, code

    def put_object(self, **_: Any) -> dict[str, str]:
        self.conflicts -= 1
        code = "ConditionalRequestConflict" if self.conflicts >= 0 else self.code
        if code:
            raise ClientError({"Error": {"Code": code, "Message": "said"}}, "PutObject")
        return {"ETag": '"1"'}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_CONFLICT_PAUSES", (0.0, 0.0))


def test_it_is_asked_again() -> None:
    assert Storage(lambda: Undecided(2)).create("s3://acme/one", b"") == '"1"'


def test_the_answer_that_comes_then_counts() -> None:
    with pytest.raises(ObjectExistsError):
        Storage(lambda: Undecided(1, "PreconditionFailed")).create("s3://acme/one", b"")


def test_one_that_stays_is_somebody_elses() -> None:
    with pytest.raises(ObjectExistsError):
        Storage(lambda: Undecided(3)).create("s3://acme/one", b"")


class Repeats:
    """A client whose first answer was lost: boto3 has repeated the request, which met what the first had stored."""

    def __init__(self, stored: bytes, retries: int = 1) -> None:
        self.stored, self.retries = stored, retries

    def put_object(self, **_: Any) -> dict[str, str]:
        answer = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"RetryAttempts": self.retries}}
        raise ClientError(cast("Any", answer), "PutObject")

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"ETag": '"2"', "Body": io.BytesIO(self.stored)}


def test_what_the_first_try_of_a_repeated_request_has_stored_is_success() -> None:
    assert Storage(lambda: Repeats(b"mine")).create("s3://acme/one", b"mine") == '"2"'
    assert Storage(lambda: Repeats(b"mine")).replace("s3://acme/one", b"mine", etag='"1"') == '"2"'


@pytest.mark.parametrize("client", [Repeats(b"another's"), Repeats(b"mine", retries=0)])
def test_what_others_have_stored_is_not(client: Repeats) -> None:
    with pytest.raises(ObjectExistsError):
        Storage(lambda: client).create("s3://acme/one", b"mine")
    with pytest.raises(ObjectChangedError):
        Storage(lambda: client).replace("s3://acme/one", b"mine", etag='"1"')
