"""The signature of a pool's messages: what does not bear it is neither parsed nor unpickled.

The key is made by the driver, for one pool, and lies in the pool's folder. A signature says that whoever wrote a
message could read that folder, and that nobody has changed it since.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Literal

from airflow_sklearn.exceptions import ForgedMessageError

KEY_BYTES = 32
_SIGNATURE_LENGTH = 64  # hexadecimal digits of an HMAC-SHA-256

Purpose = Literal["task", "report", "control", "job"]


class Signer:
    """Signs texts, and checks their signatures.

    :param key: of the pool.
    :param pool: its folder, which is signed with each text: what one pool wrote is nothing to another.
    """

    def __init__(self, key: bytes, pool: str) -> None:
        if len(key) != KEY_BYTES:
            raise ForgedMessageError(f"The key of the pool {pool} has {len(key)} bytes, not {KEY_BYTES}.")
        self._key, self._pool = key, pool

    @property
    def key_sha256(self) -> str:
        """By which a worker knows the key from one that somebody else has put into the pool's folder."""
        return sha256(self._key).hexdigest()

    def sign(self, purpose: Purpose, text: str) -> str:
        """The text behind its signature. One of another purpose does not fit: a report is no task."""
        return self._signature(purpose, text) + text

    def verify(self, purpose: Purpose, signed: str) -> str:
        """The text of what ``sign`` gave.

        :raises ForgedMessageError: the signature is missing, wrong, or of another pool or purpose.
        """
        signature, text = signed[:_SIGNATURE_LENGTH], signed[_SIGNATURE_LENGTH:]
        if not hmac.compare_digest(signature.encode(), self._signature(purpose, text).encode()):
            raise ForgedMessageError(
                f"A {purpose} does not bear the signature of the pool {self._pool}: it is not read."
            )
        return text

    def _signature(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\n{self._pool}\n{text}".encode(), sha256).hexdigest()


def new_key() -> bytes:
    """For a new pool."""
    return secrets.token_bytes(KEY_BYTES)


def check_content(data: bytes | memoryview, digest: str, where: str) -> None:
    """:raises ForgedMessageError: these are not the bytes that a signed message named."""
    if sha256(data).hexdigest() != digest:
        raise ForgedMessageError(
            f"{where} does not have the SHA-256 {digest} of the message that names it: it is not read."
        )
