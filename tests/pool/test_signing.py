from __future__ import annotations

import pytest

from airflow_sklearn.exceptions import ForgedMessageError
from airflow_sklearn.pool.signing import Signer, check_content, new_key

KEY = new_key()
SIGNER = Signer(KEY, "s3://acme/pools/1")


def test_what_was_signed_is_read() -> None:
    assert SIGNER.verify("task", SIGNER.sign("task", "täsk")) == "täsk"


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "task",
        SIGNER.sign("task", "task") + " ",
        SIGNER.sign("task", "other")[:64] + "task",
        SIGNER.sign("report", "task"),
        Signer(new_key(), "s3://acme/pools/1").sign("task", "task"),
        Signer(KEY, "s3://acme/pools/2").sign("task", "task"),
        "é" * 64 + "task",
    ],
    ids=[
        "empty",
        "bare",
        "longer",
        "other content",
        "other purpose",
        "other key",
        "other pool",
        "no hexadecimal digits",
    ],
)
def test_what_was_not_signed_for_this_is_refused(forged: str) -> None:
    with pytest.raises(ForgedMessageError, match="does not bear the signature of the pool s3://acme/pools/1"):
        SIGNER.verify("task", forged)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ForgedMessageError, match="has 3 bytes"):
        Signer(b"key", "s3://acme/pools/1")


def test_content_is_checked() -> None:
    with pytest.raises(ForgedMessageError, match="does not have the SHA-256"):
        check_content(b"data", "0" * 64, "s3://acme/pools/1/blobs/x")
