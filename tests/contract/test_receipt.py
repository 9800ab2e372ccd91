from __future__ import annotations

import json

import pytest

from airflow_sklearn.contract.receipt import KEY_HASH_ALGORITHM, KeyHash, Receipt


def test_key_hashes_add_up_modulo_64_bits() -> None:
    total = KeyHash.total([KeyHash(value=2**64 - 1), KeyHash(value=3), KeyHash()])
    assert total == KeyHash(algorithm=KEY_HASH_ALGORITHM, value=2)


def test_key_hashes_of_another_algorithm_are_read_but_not_added() -> None:
    receipt = Receipt(
        fingerprint="f", chunk_id="c", consumed=(), rows_in=0, rows_out=0, parts=(), model_sha256="0" * 64
    )
    old = json.loads(receipt.to_json()) | {"key_hash": {"algorithm": "pandas-hash64-sum", "value": 5}}
    found = Receipt.from_json(json.dumps(old).encode())
    assert found.key_hash.value == 5
    with pytest.raises(ValueError, match=r"by \['pandas-hash64-sum'\] have no sum here"):
        KeyHash.total([found.key_hash, KeyHash(value=1)])
