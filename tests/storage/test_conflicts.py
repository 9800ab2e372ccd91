"""S3's answer 409 to a conditional write: it is not decided yet. The local S3 never gives it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.exceptions import ObjectExistsError
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
