"""The signature of a pool's messages. A message without it is neither parsed nor unpickled.

The driver makes a key for each pool, and stores it in the pool's folder. A valid signature shows that the writer of a
message could read that folder, and that the message was not changed since.
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
    """Signs texts, and checks signatures (HMAC-SHA-256).

    :param key: the pool's key.
    :param pool: the URI of the pool's folder. It is signed with each text, so that no other pool accepts it.
    """

    def __init__(self, key: bytes, pool: str) -> None:
        if len(key) != KEY_BYTES:
            raise ForgedMessageError(f"The key of the pool {pool} has {len(key)} bytes, not {KEY_BYTES}.")
        self._key, self._pool = key, pool

    @property
    def key_sha256(self) -> str:
        """The SHA-256 of the key. A worker compares it, to notice a key that was replaced in the pool's folder."""
        return sha256(self._key).hexdigest()

    def sign(self, purpose: Purpose, text: str) -> str:
        """The text with its signature before it.

        :param purpose: the kind of message. A signature is valid for this purpose only: a report is no task.
        """
        return self._signature(purpose, text) + text

    def verify(self, purpose: Purpose, signed: str) -> str:
        """The text in the result of ``sign``.

        :raises ForgedMessageError: the signature is missing or wrong, or made for another pool or purpose.
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
    """A random key for a new pool."""
    return secrets.token_bytes(KEY_BYTES)


def check_content(data: bytes | memoryview, digest: str, where: str) -> None:
    """Check the digest of bytes that a signed message refers to.

    :raises ForgedMessageError: the bytes have another digest.
    """
    if sha256(data).hexdigest() != digest:
        raise ForgedMessageError(
            f"{where} does not have the SHA-256 {digest} of the message that names it: it is not read."
        )
