from __future__ import annotations

import json

import pytest

from airflow_sklearn.contract.receipt import (
    KEY_HASH_ALGORITHM,
    FeatureSketch,
    KeyHash,
    OutputPart,
    Receipt,
    Tally,
    Timings,
)


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


def test_the_tally_of_a_chunk_is_that_of_all_its_processes() -> None:
    parts = [OutputPart(uri=f"file:///{n}", sha256=str(n), size=1, rows=n) for n in range(2)]
    first = Tally(
        rows_in=3,
        rows_quarantined=1,
        parts=parts[:1],
        key_hash=KeyHash(value=2**64 - 1),
        sketches={"x": FeatureSketch(nulls=1, minimum=2.0)},
        prediction_counts={"a": 2},
    )
    second = Tally(
        rows_in=4,
        parts=parts[1:],
        quarantine=parts[:1],
        key_hash=KeyHash(value=2),
        sketches={"x": FeatureSketch(nulls=2, unseen_levels=1, minimum=1.0, maximum=5.0), "y": FeatureSketch()},
        prediction_counts={"a": 1, "b": 1},
    )
    assert Tally(**Tally.total([first, second])) == Tally(
        rows_in=7,
        rows_quarantined=1,
        parts=parts,
        quarantine=parts[:1],
        key_hash=KeyHash(value=1),
        sketches={"x": FeatureSketch(nulls=3, unseen_levels=1, minimum=1.0, maximum=5.0), "y": FeatureSketch()},
        prediction_counts={"a": 3, "b": 1},
    )
    assert Tally.total([first, second]).keys() == Tally.model_fields.keys()


def test_timings_add_up() -> None:
    assert Timings.total([Timings(read=1.0, write=0.5), Timings(read=2.0)]) == Timings(read=3.0, write=0.5)
