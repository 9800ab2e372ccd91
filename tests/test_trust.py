"""Whoever can write below a destination can spoil it, and nothing more: each document there is forged in turn.

Other forgeries are beside what they are about: plans in ``test_ledger.py``, jobs in ``worker/test_job_document.py``,
manifests and locks of published folders in ``test_publish_files.py``, placements and instances in ``runtimes/ec2``,
snapshots in ``redshift/test_forged_snapshots.py``, the documents that operators read in ``operators/test_trust.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.receipt import OutputPart, Receipt
from airflow_sklearn.exceptions import AirflowSklearnError
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan, publish, receipt

SECRET = b'{"password": "hunter2"}'


class Watched(Storage):
    """Notes whatever is touched."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[str] = set()

    def _store(self, uri: str) -> Any:
        self.touched.add(uri)
        return super()._store(uri)

    def delete(self, uris: Iterable[str]) -> None:
        uris = list(uris)
        self.touched.update(uris)
        super().delete(uris)


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "connections.json").write_bytes(SECRET)
    return f"file://{tmp_path}"


@pytest.fixture
def run(root: str) -> tuple[Plan, str]:
    """A run whose chunks are all done."""
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    for number in range(len(plan.chunks)):
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number))
    return plan, uri


def elsewhere(root: str, part: OutputPart, uri: str = "") -> OutputPart:
    return part.model_copy(update={"uri": uri or f"{root}/secrets/connections.json", "size": len(SECRET)})


def parts(root: str, found: Receipt) -> Receipt:
    return found.model_copy(update={"parts": (elsewhere(root, found.parts[0]),)})


def quarantine(root: str, found: Receipt) -> Receipt:
    return found.model_copy(update={"quarantine": (elsewhere(root, found.parts[0]),)})


def a_way_out_of_the_ledger(root: str, found: Receipt) -> Receipt:
    folder = found.parts[0].uri.rpartition("/")[0]
    way = f"{folder}/{found.parts[0].sha256}/../../../../../secrets/connections.json"
    return found.model_copy(update={"parts": (elsewhere(root, found.parts[0], way),)})


def another_digest(root: str, found: Receipt) -> Receipt:
    """Names that are right, of a file that is another: what was written over a part is not published."""
    Storage().write(found.parts[0].uri, b"x" * found.parts[0].size)
    return found


def another_source(root: str, found: Receipt) -> Receipt:
    piece = found.consumed[0]
    other = piece.object.model_copy(update={"uri": f"{root}/secrets/connections.json"})
    return found.model_copy(update={"consumed": (piece.model_copy(update={"object": other}), *found.consumed[1:])})


FORGERIES: Sequence[Callable[[str, Receipt], Receipt]] = (
    parts,
    quarantine,
    a_way_out_of_the_ledger,
    another_digest,
    another_source,
)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_receipt_publishes_nothing_from_elsewhere(
    root: str, run: tuple[Plan, str], forge: Callable[[str, Receipt], Receipt]
) -> None:
    plan, uri = run
    ledger = Ledger(Storage(), plan.ledger)
    found = ledger.read_receipt(plan.chunks[0].id, plan.fingerprint)
    assert found
    Storage().write(ledger.receipt_uri(found.chunk_id), forge(root, found).to_json())
    watched = Watched()
    with pytest.raises(AirflowSklearnError):
        publish(watched, plan, verify(watched, plan, uri))
    assert all(uri.startswith(f"{root}/out/") for uri in watched.touched), watched.touched
    published = Path(root.removeprefix("file://"), "out", "day=1").glob("part-*")
    assert [path for path in published if SECRET in path.read_bytes() or b"xxx" in path.read_bytes()] == []


def test_a_right_run_touches_nothing_but_its_destination(root: str, run: tuple[Plan, str]) -> None:
    watched = Watched()
    publish(watched, run[0], verify(watched, *run))
    assert all(uri.startswith(f"{root}/out/") for uri in watched.touched), watched.touched


def test_a_proof_that_was_forged_decides_nothing(root: str, run: tuple[Plan, str]) -> None:
    plan, uri = run
    storage = Storage()
    proof = verify(storage, plan, uri)
    forged = proof.model_copy(update={"files": (elsewhere(root, proof.files[0]),)})
    storage.write(Ledger(storage, plan.ledger).proof_uri(plan.destination.uri, plan.partition), forged.to_json())
    assert verify(storage, plan, uri) == proof
    manifest, _ = publish(storage, plan, verify(storage, plan, uri))
    assert all(part.uri.startswith(f"{root}/out/day=1/") for part in manifest.files)
