"""``clean`` removes what nothing needs, and nothing else: on real files, with the times that a file system tells."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_sklearn.contract.plan import Plan
from airflow_sklearn.datasets.clean_up import judge_ledgers, remove
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.ledger import Ledger, read_plan
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.storage import Storage
from tests.cli.conftest import Call
from tests.cli.test_runs import published, record
from tests.factories import csv_plan, stored_model

DAY = 86_400.0


@pytest.fixture
def root(here: Path) -> str:
    return f"file://{here}"


def grow_old(folder: Path, days: float = 40) -> None:
    """Let all files below a folder be some days old."""
    then = time.time() - days * DAY
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def replaced(root: str) -> tuple[Plan, Plan]:
    """A run, and another that has replaced its rows."""
    storage = Storage()
    first, _ = published(storage, root)
    stored_model(storage, f"{root}/second", version="v2")
    second, _ = published(storage, root, model=f"{root}/second")
    return first, second


def test_a_ledger_to_which_no_published_rows_lead_goes_whole_and_only_with_yes(
    root: str, here: Path, called: Call, printed: Call
) -> None:
    first, second = replaced(root)
    grow_old(here)
    before = files(here)
    shown = called("clean", "out")
    assert {one["ledger"]: one["whole"] for one in shown["ledgers"]} == {first.ledger: True, second.ledger: False}
    assert shown["bytes_to_free"] == sum(
        path.stat().st_size for path in Path(first.ledger[7:]).rglob("*") if path.is_file()
    )
    assert "Say --yes to remove it" in printed("clean", "out")
    assert files(here) == before
    assert called("clean", "out", "--yes")["bytes_freed"] == shown["bytes_to_free"]
    name = first.ledger.rpartition("/")[2]
    assert files(here) == {path for path in before if name not in path}
    assert called("verify", "out/day=1")["files_checked"] == 4


def test_parts_that_no_receipt_names_go_and_all_else_of_a_published_run_stays(
    root: str, here: Path, called: Call
) -> None:
    plan, _ = published(Storage(), root)
    loser = Path(Ledger(Storage(), plan.ledger).part_uri("f" * 64, ".csv")[7:])
    loser.write_bytes(b"an attempt that came second")
    grow_old(here)
    before = files(here)
    assert called("clean", "out", "--yes")["bytes_freed"] == 27
    assert before - files(here) == {str(loser.relative_to(here))}


def test_a_run_in_flight_is_never_touched(root: str, here: Path, called: Call) -> None:
    storage = Storage()
    plan, uri = csv_plan(storage, root)
    record(storage, plan, range(2))
    grow_old(here)
    record(storage, plan, range(2, 3))  # one chunk was done a moment ago
    before = files(here)
    assert called("clean", "out", "--yes")["bytes_freed"] == 0
    assert files(here) == before
    record(storage, plan, range(3, 4))
    assert verify(storage, read_plan(storage, uri), uri).rows_out == 100


def test_what_is_written_between_the_look_and_the_removal_stops_it(root: str, here: Path) -> None:
    storage = Storage()
    first, _ = replaced(root)
    grow_old(here)
    judged = {one.uri: one for one in judge_ledgers(storage, f"{root}/out")}[first.ledger]
    assert judged.whole
    os.utime(next(Path(first.ledger[7:]).rglob("receipts/*")))
    assert remove(storage, judged) == 0
    assert Ledger(storage, first.ledger).read_receipts(first).keys() == {chunk.id for chunk in first.chunks}


def test_a_ledger_stays_while_its_partition_is_being_published(root: str, here: Path, called: Call) -> None:
    replaced(root)
    (here / "out/day=1/_publishing.json").write_text("{}")
    grow_old(here)
    found = called("clean", "out", "--yes")
    assert found["bytes_freed"] == 0
    assert all("being published" in one["reason"] for one in found["ledgers"])


def test_what_cannot_be_read_or_belongs_elsewhere_stays(root: str, here: Path, called: Call) -> None:
    first, second = replaced(root)
    elsewhere = here / "other" / "_airflow_sklearn" / first.ledger.rpartition("/")[2]
    elsewhere.parent.mkdir(parents=True)
    Path(first.ledger[7:]).rename(elsewhere)  # a copied folder: its plan names the first place
    for plan in Path(second.ledger[7:]).rglob("plans/*.json"):
        plan.write_text("{}")
    for plan in Path(second.ledger[7:]).rglob("plans/copies/*.json"):
        plan.unlink()
    grow_old(here)
    before = files(here)
    assert "cannot be read" in called("clean", "out", "--yes")["ledgers"][0]["reason"]
    assert "belongs to the destination" in called("clean", "other", "--yes")["ledgers"][0]["reason"]
    assert files(here) == before


def test_a_ledger_that_leads_out_of_its_destination_stays(root: str, here: Path, called: Call) -> None:
    first, _ = replaced(root)
    ledger = Path(first.ledger[7:])
    ledger.rename(here / "away")
    ledger.symlink_to(here / "away")
    grow_old(here / "away")
    grow_old(here)
    found = {one["ledger"]: one["reason"] for one in called("clean", "out", "--yes")["ledgers"]}
    assert "symbolic link" in found[first.ledger]
    assert files(here / "away")


def test_ages_below_two_days_are_refused(root: str) -> None:
    with pytest.raises(UserError, match="may belong to a run in flight"):
        judge_ledgers(Storage(), f"{root}/out", age=timedelta(days=1))
