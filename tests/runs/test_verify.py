from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.contract.proof import Proof, Publishing
from airflow_sklearn.contract.receipt import KeyHash, Receipt
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.datasets.publish_files import read_published
from airflow_sklearn.exceptions import IncompleteRunError, ObjectNotFoundError, PublishError
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.verify import _tiling_faults, verify
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan, publish, receipt


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.services)])
def storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(request.getfixturevalue("cloud").client) if request.param == "s3" else Storage()


@pytest.fixture
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    in_s3 = request.node.callspec.params["storage"] == "s3"
    return f"s3://{request.getfixturevalue('bucket')}" if in_s3 else f"file://{tmp_path}"


def complete(storage: Storage, plan: Plan, uri: str, data: bytes | None = None) -> Proof:
    for number in range(len(plan.chunks)):
        content = None if data is None else data + b"%d" % number
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number, data=content))
    return verify(storage, plan, uri)


def visible(storage: Storage, root: str) -> list[str]:
    return [found.uri for found in storage.expand([f"{root}/out/day=1/"], allow_empty=True)]


def test_a_complete_run_is_proven_and_published(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    assert (proof.rows_in, proof.rows_out, proof.chunks, proof.objects) == (100, 100, 4, 1)
    assert proof.key_hash.value == (4 * 2**63 + 6) % 2**64
    published, new = publish(storage, plan, proof)
    assert new
    assert visible(storage, root) == [part.uri for part in published.files]
    assert [storage.read(part.uri) for part in published.files] == [storage.read(part.uri) for part in proof.files]
    assert Proof.from_json(storage.read(published.proof_uri)) == proof
    assert not storage.exists(f"{root}/out/day=1/_publishing.json")


def test_missing_chunks_are_named_and_nothing_is_published(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    for number in (0, 2):
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number))
    with pytest.raises(IncompleteRunError) as caught:
        verify(storage, plan, uri)
    message = str(caught.value)
    assert "2 of 4 chunks are done; nothing is published" in message
    assert plan.chunks[1].label in message
    assert plan.chunks[3].id in message
    assert plan.chunks[0].label not in message
    assert visible(storage, root) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"first": 10}, "do not tile"),
        ({"last": 260}, "do not tile"),
        ({"total": 1_010}, "do not tile"),
        ({"rows": 24}, "does not add up"),
    ],
)
def test_receipts_that_leave_a_gap_overlap_or_lose_rows_are_refused(
    storage: Storage, root: str, change: dict[str, int], fault: str
) -> None:
    plan, uri = csv_plan(storage, root)
    for number in range(4):
        good = receipt(storage, plan, number)
        bad = good.model_copy(update={"consumed": (good.consumed[0].model_copy(update=change),)})
        Ledger(storage, plan.ledger).record(good if number else bad)
    with pytest.raises(IncompleteRunError, match=fault):
        verify(storage, plan, uri)


def test_of_many_gaps_a_few_are_told_and_the_rest_is_counted(storage: Storage, root: str) -> None:
    plan, _ = csv_plan(storage, root)
    good = receipt(storage, plan, 0).consumed[0]
    pieces = [good.model_copy(update={"first": 10 * n, "last": 10 * n + 5}) for n in range(1_000)]
    (fault,) = _tiling_faults(plan, [receipt(storage, plan, 0, consumed=tuple(pieces))])
    assert "one ends at 5, the next begins at 10, " in fault
    assert fault.endswith("and 997 more")
    assert len(fault) < 500


def test_rows_that_were_lost_on_the_way_out_are_noticed(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    for number in range(4):
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number, rows_quarantined=1))
    with pytest.raises(IncompleteRunError, match=r"25 in, 25 out, 25 written, 1 set aside"):
        verify(storage, plan, uri)


def test_chunks_whose_keys_were_hashed_in_another_way_are_refused(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    for number in range(4):
        of_an_older_image = KeyHash(algorithm="some-sum", value=number)
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number, key_hash=of_an_older_image))
    with pytest.raises(IncompleteRunError, match=r"some-sum, not fnv1a-64-sum: .*another version of the worker"):
        verify(storage, plan, uri)


def test_rows_that_were_unloaded_and_not_read_are_noticed(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    snapshot = Snapshot(
        query="SELECT", manifest_uri=f"{root}/manifest", files=plan.spec.source, rows=101, columns=(), folder=root
    )
    complete(storage, plan, uri)
    with pytest.raises(IncompleteRunError, match=r"101 rows were unloaded .*, and 100 were read"):
        verify(storage, plan.model_copy(update={"snapshot": snapshot}), uri)


def test_publishing_the_same_rows_again_does_nothing(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    first, _ = publish(storage, plan, proof)
    again, new = publish(storage, plan, proof)
    assert (again, new) == (first, False)


def test_files_deleted_from_the_destination_are_published_again(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    published, _ = publish(storage, plan, proof)
    storage.delete([published.files[1].uri])
    _, new = publish(storage, plan, proof)
    assert new
    assert visible(storage, root) == [part.uri for part in published.files]


def second_run(storage: Storage, root: str, **changes: object) -> tuple[Plan, Proof]:
    storage.write(f"{root}/in/x.csv", b"0001,9999\n" * 50)
    plan, uri = csv_plan(storage, root, rows=50, chunks=2, **changes)
    return plan, complete(storage, plan, uri, data=b"second")


def test_a_second_run_replaces_the_rows_of_its_partition(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    publish(storage, plan, complete(storage, plan, uri))
    other, other_uri = csv_plan(storage, root, partition="day=2")
    publish(storage, other, complete(storage, other, other_uri))
    again, proof = second_run(storage, root)
    published, new = publish(storage, again, proof)
    assert new
    assert published.rows == 50
    assert visible(storage, root) == [part.uri for part in published.files]
    assert len(storage.expand([f"{root}/out/day=2/"])) == 4


def test_if_exists_fail_keeps_what_was_published(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    publish(storage, plan, complete(storage, plan, uri))
    before = visible(storage, root)
    again, proof = second_run(
        storage, root, destination=OutputFiles(uri=f"{root}/out", file_format="csv", if_exists="fail")
    )
    with pytest.raises(PublishError, match=r"100 rows .* if_exists='replace'"):
        publish(storage, again, proof)
    assert visible(storage, root) == before


def test_files_of_others_are_never_mixed_with_predictions(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    storage.write(f"{root}/out/day=1/by-hand.csv", b"1")
    with pytest.raises(PublishError, match=r"1 file that this package did not publish \(by-hand\.csv\)"):
        publish(storage, plan, proof)
    assert visible(storage, root) == [f"{root}/out/day=1/by-hand.csv"]


class DiesWhileCopying(Storage):
    """A commit's process that is killed after some of its copies."""

    def __init__(self, other: Storage) -> None:
        self._stores, self.copies = other._stores, 0

    def copy(self, source_uri: str, target_uri: str, **known: str | None) -> None:
        self.copies += 1
        if self.copies > 2:
            raise KeyboardInterrupt
        super().copy(source_uri, target_uri, **known)


def test_a_commit_that_dies_half_way_is_finished_by_its_retry(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    with pytest.raises(KeyboardInterrupt):
        publish(DiesWhileCopying(storage), plan, proof)
    assert read_published(storage, f"{root}/out/day=1") is None
    published, new = publish(storage, plan, proof)
    assert new
    assert visible(storage, root) == [part.uri for part in published.files]


def test_two_runs_do_not_publish_into_one_partition_at_once(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    with pytest.raises(KeyboardInterrupt):
        publish(DiesWhileCopying(storage), plan, proof)
    again, second_proof = second_run(storage, root)
    with pytest.raises(PublishError, match=r"Another run .* delete .*_publishing\.json"):
        publish(storage, again, second_proof)


def test_what_a_dead_publication_left_is_removed_when_its_lock_has_expired(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    with pytest.raises(KeyboardInterrupt):
        publish(DiesWhileCopying(storage), plan, proof)
    lock = f"{root}/out/day=1/_publishing.json"
    left = Publishing.from_json(storage.read(lock))
    long_ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    storage.write(lock, left.model_copy(update={"started_at": long_ago}).to_json())
    again, second_proof = second_run(storage, root)
    published, _ = publish(storage, again, second_proof)
    assert visible(storage, root) == [part.uri for part in published.files]


def test_a_part_that_vanished_makes_the_run_incomplete(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    storage.delete([proof.files[0].uri])
    with pytest.raises(IncompleteRunError, match="3 of 4 chunks are done"):
        verify(storage, plan, uri)
    with pytest.raises(ObjectNotFoundError):
        publish(storage, plan, proof)
    assert read_published(storage, f"{root}/out/day=1") is None


def test_an_attempt_that_lost_is_never_published(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    loser: Receipt = receipt(storage, plan, 0, data=b"the loser's rows")
    Ledger(storage, plan.ledger).record(loser)
    published, _ = publish(storage, plan, verify(storage, plan, uri))
    assert verify(storage, plan, uri) == proof
    assert all(b"loser" not in storage.read(part.uri) for part in published.files)
    assert os.path.basename(published.files[0].uri).startswith("part-00000-")


class PausesBefore(Storage):
    """A commit's process that stands still before its ``step``, while ``meanwhile`` happens."""

    def __init__(self, other: Storage, step: str, meanwhile: Callable[[], None]) -> None:
        self._stores, self._step, self._meanwhile = other._stores, step, meanwhile

    def _pause(self, step: str) -> None:
        if step == self._step:
            self._step = ""
            self._meanwhile()

    def copy(self, source_uri: str, target_uri: str, **known: str | None) -> None:
        self._pause("copy")
        super().copy(source_uri, target_uri, **known)

    def create(self, uri: str, data: bytes) -> str:
        if uri.endswith("_manifest.json"):
            self._pause("manifest")
        return super().create(uri, data)


@pytest.mark.parametrize("step", ["copy", "manifest"])
def test_a_commit_that_slept_does_not_undo_what_was_published_since(storage: Storage, root: str, step: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    newer: list[list[str]] = []

    def meanwhile() -> None:
        publish(storage, plan, proof)  # its retry
        again, second_proof = second_run(storage, root)
        published, _ = publish(storage, again, second_proof)
        newer.append([part.uri for part in published.files])

    with pytest.raises(PublishError, match="Another"):
        publish(PausesBefore(storage, step, meanwhile), plan, proof)
    now = read_published(storage, f"{root}/out/day=1")
    assert now is not None
    assert [part.uri for part in now.files] == newer[0]
    assert visible(storage, root) == newer[0]


def test_a_publication_that_was_refused_before_it_began_holds_no_lock(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    storage.write(f"{root}/out/day=1/by-hand.csv", b"1")
    with pytest.raises(PublishError):
        publish(storage, plan, proof)
    storage.delete([f"{root}/out/day=1/by-hand.csv"])
    again, second_proof = second_run(storage, root)
    _, new = publish(storage, again, second_proof)
    assert new


def test_files_of_several_dead_publications_are_all_removed(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    proof = complete(storage, plan, uri)
    lock = f"{root}/out/day=1/_publishing.json"

    def die(plan: Plan, proof: Proof) -> None:
        with pytest.raises(KeyboardInterrupt):
            publish(DiesWhileCopying(storage), plan, proof)
        left = Publishing.from_json(storage.read(lock))
        long_ago = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
        storage.write(lock, left.model_copy(update={"started_at": long_ago}).to_json())

    die(plan, proof)
    storage.write(f"{root}/in/x.csv", b"0001,9999\n" * 60)
    second, second_uri = csv_plan(storage, root, rows=60, chunks=3)
    die(second, complete(storage, second, second_uri, data=b"second"))
    again, third_proof = second_run(storage, root)
    published, _ = publish(storage, again, third_proof)
    assert visible(storage, root) == [part.uri for part in published.files]


def test_chunks_whose_columns_differ_in_type_are_refused(storage: Storage, root: str) -> None:
    plan, uri = csv_plan(storage, root)
    for number in range(4):
        columns = (
            Column(name="id", arrow_type="int64"),
            Column(name="note", arrow_type="double" if number == 2 else "string"),
        )
        Ledger(storage, plan.ledger).record(receipt(storage, plan, number, columns=columns))
    with pytest.raises(IncompleteRunError, match=r"'note' is string in the chunk .* and double in"):
        verify(storage, plan, uri)
