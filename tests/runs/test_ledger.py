from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_sklearn.contract.data import SourceObject
from airflow_sklearn.contract.plan import PlannedChunk
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.exceptions import DocumentError, ObjectNotFoundError
from airflow_sklearn.runs.ledger import Ledger, read_chunk, read_plan
from airflow_sklearn.storage import Storage
from tests.factories import csv_plan, receipt


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}"


def test_a_plan_is_read_as_it_was_written(root: str) -> None:
    plan, uri = csv_plan(Storage(), root)
    assert read_plan(Storage(), uri) == plan


def test_a_plan_that_was_changed_or_removed_after_it_was_made_is_read_from_its_copy(
    root: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    storage.write(uri, plan.model_copy(update={"partition": "another"}).to_json())
    assert read_plan(storage, uri) == plan
    storage.delete([uri])
    assert read_plan(storage, uri) == plan
    assert caplog.text.count("Find out who else can write below the destination") == 2


def test_a_plan_that_is_gone_with_its_copy_is_to_be_made_anew(root: str) -> None:
    storage = Storage()
    _, uri = csv_plan(storage, root)
    storage.delete([found.uri for found in storage.list(f"{uri.rpartition('/')[0]}/")])
    with pytest.raises(ObjectNotFoundError, match="clear the plan task"):
        read_plan(storage, uri)


def test_a_plan_that_was_changed_with_its_copy_is_not_read(root: str) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    for found in list(storage.list(f"{uri.rpartition('/')[0]}/")):
        storage.write(found.uri, plan.model_copy(update={"partition": "another"}).to_json())
    with pytest.raises(DocumentError, match=r"changed after it was made.*clear the plan task"):
        read_plan(storage, uri)


def test_a_plan_is_read_by_a_longer_digest_too(root: str) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    longer = f"{uri.rpartition('/')[0]}/{plan.digest()}.json"
    storage.write(longer, plan.to_json())
    assert read_plan(storage, longer) == plan


@pytest.mark.parametrize("name", ["plan", "", "0" * 31, "0" * 65, "Z" * 32])
def test_a_plan_whose_name_is_no_digest_is_not_read(root: str, name: str) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    other = f"{uri.rpartition('/')[0]}/{name}.json"
    storage.write(other, plan.to_json())
    with pytest.raises(DocumentError, match="clear the plan task"):
        read_plan(storage, other)


class Counting(Storage):
    """Notes what is read, and how many bytes that is."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}

    def read(self, uri: str, *, etag: str | None = None) -> bytes:
        data = super().read(uri, etag=etag)
        self.sizes[uri] = len(data)
        return data


def test_each_chunk_is_read_as_the_plan_has_it(root: str) -> None:
    plan, uri = csv_plan(Storage(), root)
    for chunk in plan.chunks:
        assert read_chunk(Storage(), uri, chunk.id) == PlannedChunk.of(plan, chunk)
    assert read_chunk(Storage(), uri, "another") is None


def test_a_chunk_is_read_without_the_other_chunks(root: str) -> None:
    plan, uri = csv_plan(Storage(), root, rows=1_000, chunks=200)
    storage = Counting()
    read_chunk(storage, uri, plan.chunks[0].id)
    assert len(storage.sizes) == 2  # the index and the chunk
    assert sum(storage.sizes.values()) < len(plan.to_json()) / 3


def test_a_chunk_whose_document_was_changed_or_removed_is_read_from_the_plan(
    root: str, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    first, second = (PlannedChunk.of(plan, chunk) for chunk in plan.chunks[:2])
    folder = f"{uri.rpartition('/')[0]}/chunks"
    storage.write(f"{folder}/{first.digest()[:32]}.json", second.to_json())
    storage.delete([f"{folder}/{second.digest()[:32]}.json"])
    assert read_chunk(storage, uri, first.chunk.id) == first
    assert read_chunk(storage, uri, second.chunk.id) == second
    assert caplog.text.count("the whole plan is read") == 2


def test_a_plan_that_was_stored_whole_is_read_and_so_are_its_chunks(root: str) -> None:
    """As version 0.1 stored it: under its own digest, without an index."""
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    uri = f"{root}/elsewhere/plans/{plan.digest()[:32]}.json"
    storage.write(uri, plan.to_json())
    assert read_plan(storage, uri) == plan
    assert [read_chunk(storage, uri, chunk.id) for chunk in plan.chunks] == [
        PlannedChunk.of(plan, chunk) for chunk in plan.chunks
    ]
    assert read_chunk(storage, uri, "another") is None


def test_two_plans_of_one_run_that_cut_it_alike_share_their_chunks(root: str) -> None:
    storage = Storage()
    _, first = csv_plan(storage, root)
    folder = f"{first.rpartition('/')[0]}/chunks/"
    before = {found.uri for found in storage.list(folder)}
    _, second = csv_plan(storage, root, partition="day=2")
    assert first != second
    assert {found.uri for found in storage.list(folder)} == before


def test_there_is_no_receipt_before_a_chunk_is_done(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    assert Ledger(storage, plan.ledger).read_receipt(plan.chunks[0].id, plan.fingerprint) is None


def test_of_two_attempts_one_wins_and_both_learn_which(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    ledger = Ledger(storage, plan.ledger)
    attempts = [receipt(storage, plan, 0, data=b"x" * i, job=str(i)) for i in range(1, 9)]
    answers: list[tuple[Receipt, bool]] = []
    barrier = threading.Barrier(len(attempts))

    def record(attempt: Receipt) -> None:
        barrier.wait()
        answers.append(ledger.record(attempt))

    threads = [threading.Thread(target=record, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won for _, won in answers) == 1
    assert {answer.job for answer, _ in answers} == {next(answer.job for answer, won in answers if won)}


def test_a_receipt_whose_part_is_gone_counts_no_longer_and_is_replaced(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    ledger = Ledger(storage, plan.ledger)
    first = receipt(storage, plan, 0, data=b"first")
    ledger.record(first)
    storage.delete([first.parts[0].uri])
    assert ledger.read_receipt(plan.chunks[0].id, plan.fingerprint) is None
    second = receipt(storage, plan, 0, data=b"second")
    assert ledger.record(second) == (second, True)
    assert ledger.read_receipt(plan.chunks[0].id, plan.fingerprint) == second


def test_a_receipt_of_another_fingerprint_does_not_count(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    ledger = Ledger(storage, plan.ledger)
    ledger.record(receipt(storage, plan, 0))
    assert ledger.read_receipt(plan.chunks[0].id, "another") is None


def test_a_thousand_receipts_are_read_at_once(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root, rows=1_000, chunks=1_000, max_chunks=1_000)
    ledger = Ledger(storage, plan.ledger)
    for number in range(1_000):
        ledger.record(receipt(storage, plan, number))
    assert set(ledger.read_receipts(plan)) == {chunk.id for chunk in plan.chunks}
    assert len(plan.chunks) == 1_000


def test_a_receipt_that_a_rival_wrote_in_the_meantime_is_not_overwritten(root: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    ledger = Ledger(storage, plan.ledger)
    gone, rivals, own = (
        receipt(storage, plan, 0, data=data, job=data.decode()) for data in (b"gone", b"rival", b"own")
    )
    ledger.record(gone)
    storage.delete([gone.parts[0].uri])

    class SleepsBefore(Storage):
        """An attempt that stands still before its ``step``, while its rival replaces the receipt."""

        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

        def _meanwhile(self, step: str, uri: str) -> None:
            if step == self.step and uri.endswith(f"receipts/{plan.chunks[0].id}.json"):
                self.step = ""
                assert ledger.record(rivals) == (rivals, True)

        def stat(self, uri: str) -> SourceObject:
            self._meanwhile("stat", uri)
            return super().stat(uri)

        def open(self, uri: str, **options: Any) -> BinaryIO:
            self._meanwhile("open", uri)
            return super().open(uri, **options)

        def replace(self, uri: str, data: bytes, *, etag: str) -> str:
            self._meanwhile("replace", uri)
            return super().replace(uri, data, etag=etag)

    for step in ("stat", "open", "replace"):
        storage.write(ledger.receipt_uri(plan.chunks[0].id), gone.to_json())
        assert Ledger(SleepsBefore(step), plan.ledger).record(own) == (rivals, False), step
        assert ledger.read_receipt(plan.chunks[0].id, plan.fingerprint) == rivals


@pytest.mark.parametrize("field", ["parts", "quarantine"])
@pytest.mark.parametrize(
    "where", ["elsewhere/x.csv", "out/_airflow_sklearn/other/parts/{sha256}.csv", "{own}/../{sha256}"]
)
def test_a_receipt_may_only_name_parts_of_its_own_ledger(root: str, field: str, where: str) -> None:
    storage = Storage()
    plan, _ = csv_plan(storage, root)
    ledger = Ledger(storage, plan.ledger)
    good = receipt(storage, plan, 0)
    part = good.parts[0]
    own = f"{plan.ledger.removeprefix(root)[1:]}/parts"
    uri = f"{root}/{where.format(sha256=part.sha256, own=own)}"
    storage.write(uri, storage.read(part.uri))
    forged = good.model_copy(update={field: (part.model_copy(update={"uri": uri}),)})
    storage.write(ledger.receipt_uri(good.chunk_id), forged.to_json())
    assert ledger.read_receipt(good.chunk_id, plan.fingerprint) is None
    assert ledger.record(good) == (good, True)
