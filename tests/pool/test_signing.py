from __future__ import annotations

import pytest

from airflow_sklearn.exceptions import ForgedMessageError
from airflow_sklearn.pool.signing import Seal, check_content, new_key

KEY = new_key()
SEAL = Seal(KEY, "s3://acme/pools/1")


def test_what_was_sealed_is_opened() -> None:
    assert SEAL.open("task", SEAL.close("task", "täsk")) == "täsk"


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "task",
        SEAL.close("task", "task") + " ",
        SEAL.close("task", "other")[:64] + "task",
        SEAL.close("report", "task"),
        Seal(new_key(), "s3://acme/pools/1").close("task", "task"),
        Seal(KEY, "s3://acme/pools/2").close("task", "task"),
        "é" * 64 + "task",
    ],
)
def test_what_was_not_sealed_for_this_is_refused(forged: str) -> None:
    with pytest.raises(ForgedMessageError, match="does not bear the seal of the pool s3://acme/pools/1"):
        SEAL.open("task", forged)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ForgedMessageError, match="has 3 bytes"):
        Seal(b"key", "s3://acme/pools/1")


def test_content_is_checked() -> None:
    with pytest.raises(ForgedMessageError, match="does not have the SHA-256"):
        check_content(b"data", "0" * 64, "s3://acme/pools/1/blobs/x")
