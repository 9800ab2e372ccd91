"""What a folder holds after publications that died, failed, slept, or met each other, at each step that they take."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import GeneratorType
from typing import Any, cast

import pytest

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.proof import PublishedManifest, Publishing
from airflow_sklearn.contract.receipt import OutputPart
from airflow_sklearn.datasets import publish_files as module
from airflow_sklearn.datasets.publish_files import FileLoad, publish_files, read_published, replacement_faults
from airflow_sklearn.exceptions import AirflowSklearnError, ObjectChangedError, PublicationRefusedError, PublishError
from airflow_sklearn.storage import Storage
from airflow_sklearn.storage.local import LocalStore

TIMES = itertools.count()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(module, "_COPIERS", 1)  # one step after another
    return f"file://{tmp_path}"


def load_of(root: str, name: str, parts: int = 2, **changes: Any) -> FileLoad:
    """The rows of a run: parts that say whose they are."""
    storage, files = Storage(), []
    for number in range(parts):
        data = f"{name} {number}".encode()
        sha256 = hashlib.sha256(data).hexdigest()
        uri = f"{root}/ledger/{sha256}.csv"
        storage.write(uri, data)
        files.append(OutputPart(uri=uri, sha256=sha256, size=len(data), rows=10))
    fields: dict[str, Any] = {
        "destination": OutputFiles(uri=f"{root}/out", file_format="csv"),
        "partition": "day=1",
        "files": tuple(files),
        "rows": 10 * parts,
        "fingerprint": hashlib.sha256(name.encode()).hexdigest(),
        "proof_uri": f"{root}/ledger/proof.json",
        "planned": Planned(at=f"2026-01-01T00:00:00.{next(TIMES):06d}+00:00"),
    }
    return FileLoad(**{**fields, **changes})


def test_a_partition_that_is_a_link_out_of_the_destination_is_refused(root: str) -> None:
    """Whoever can write below one destination would have another one's files replaced."""
    publish_files(Storage(), load_of(root, "theirs", destination=OutputFiles(uri=f"{root}/theirs", file_format="csv")))
    there = Path(root.removeprefix("file://"))
    before = sorted(path.name for path in (there / "theirs" / "day=1").iterdir())
    (there / "out").mkdir()
    (there / "out" / "day=1").symlink_to(there / "theirs" / "day=1")
    with pytest.raises(PublicationRefusedError, match="leads out of the destination"):
        publish_files(Storage(), load_of(root, "mine"))
    assert sorted(path.name for path in (there / "theirs" / "day=1").iterdir()) == before


def test_a_destination_may_itself_be_a_link(root: str) -> None:
    there = Path(root.removeprefix("file://"))
    (there / "disk").mkdir()
    (there / "out").symlink_to(there / "disk")
    publish_files(Storage(), load_of(root, "mine"))
    assert read_published(Storage(), f"{root}/disk/day=1")


@pytest.mark.parametrize(("above", "below"), [("p", "p/q"), ("p/q", "p/q/r/s")])
def test_a_partition_within_a_partition_is_refused(root: str, above: str, below: str) -> None:
    """Readers of the folder above would find both, and its next publication would be refused."""
    publish_files(Storage(), load_of(root, "a", partition=above))
    within = load_of(root, "b", partition=below)
    assert ["holds a partition of its own" in fault for fault in replacement_faults(Storage(), within)] == [True]
    with pytest.raises(PublicationRefusedError, match="holds a partition of its own"):
        publish_files(Storage(), within)
    publish_files(Storage(), load_of(root, "c", partition=above))


def test_a_destination_within_a_partition_of_another_one_is_refused(root: str) -> None:
    publish_files(Storage(), load_of(root, "a"))
    inner = OutputFiles(uri=f"{root}/out/day=1", file_format="csv")
    with pytest.raises(PublicationRefusedError, match="holds a partition of its own"):
        publish_files(Storage(), load_of(root, "b", destination=inner, partition="x"))


@pytest.mark.parametrize("began", ["", "yesterday", "2026-01-01T00:00:00"])
def test_a_lock_that_does_not_say_when_it_began_is_named(root: str, began: str) -> None:
    lock = Publishing(fingerprint="0" * 64, owner="x", started_at=began, files=())
    Storage().write(f"{root}/out/day=1/_publishing.json", lock.to_json())
    with pytest.raises(PublishError, match=r"is no lock of this package.* Fix: delete it"):
        publish_files(Storage(), load_of(root, "a"))


def test_a_lock_of_the_future_does_not_hold_for_ever(root: str) -> None:
    lock = Publishing(fingerprint="0" * 64, owner="x", started_at="2999-01-01T00:00:00+00:00", files=())
    Storage().write(f"{root}/out/day=1/_publishing.json", lock.to_json())
    publish_files(Storage(), load_of(root, "a"))
    check_folder(root, "a")


def names_in(root: str) -> list[str]:
    return sorted(path.name for path in Path(root.removeprefix("file://"), "out", "day=1").iterdir())


def check_folder(root: str, *allowed: str) -> None:
    """The folder holds the rows of exactly one run, which is one of those, and nothing else."""
    manifest = read_published(Storage(), f"{root}/out/day=1")
    assert manifest is not None
    assert names_in(root) == ["_manifest.json", *sorted(part.uri.rpartition("/")[2] for part in manifest.files)]
    check_content(root, manifest, *allowed)


def check_content(root: str, manifest: PublishedManifest, *allowed: str) -> None:
    contents = [Storage().read(part.uri).decode() for part in manifest.files]
    assert [content.rpartition(" ")[0] for content in contents] == [contents[0].rpartition(" ")[0]] * len(contents)
    assert contents[0].rpartition(" ")[0] in allowed


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Faulty(Storage):
    """A storage on which something happens at the n-th call.

    :param act: is given the call, and whether the fault is still to come; what it raises, the caller gets.
    """

    def __init__(self, number: int, act: Callable[[Callable[[], Any]], Any], *, for_good: bool = False) -> None:
        super().__init__()
        self.calls, self._number, self._act, self._for_good = 0, number, act, for_good

    def _store(self, uri: str) -> Any:
        return _Proxy(self, super()._store(uri))

    def call(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self._number or (self._for_good and self.calls > self._number):
            return self._act(call)
        return call()


class _Proxy:
    def __init__(self, storage: Faulty, store: Any) -> None:
        self._storage, self._of = storage, store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._of, name)

        def call(*args: Any) -> Any:
            answer = self._storage.call(lambda: method(*args))
            return iter(list(answer)) if isinstance(answer, Iterator) and name == "list" else answer

        return call


def die_before(call: Callable[[], Any]) -> Any:
    raise Killed


def die_after(call: Callable[[], Any]) -> Any:
    call()
    raise Killed


def fail(call: Callable[[], Any]) -> Any:
    raise ConnectionError("nothing was sent")


def lose_the_answer(call: Callable[[], Any]) -> Any:
    call()
    raise ConnectionError("the answer was lost")


FAULTS = {"dies before": die_before, "dies after": die_after, "fails": fail, "answer is lost": lose_the_answer}


def steps_of(root: str, name: str) -> int:
    """How many calls a publication over another one makes."""
    counting = Faulty(0, fail)
    publish_files(Storage(), load_of(f"{root}/{name}", "old"))
    publish_files(counting, load_of(f"{root}/{name}", "new"))
    return counting.calls


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("then", ["the same run", "a newer run", "the old run"])
def test_whatever_dies_or_fails_at_any_step_the_next_one_leaves_exactly_one_runs_files(
    root: str, fault: str, then: str
) -> None:
    for step in range(1, steps_of(root, "count") + 1):
        where = f"{root}/{step}"
        old, new, newer = (load_of(where, name) for name in ("old", "new", "newer"))
        publish_files(Storage(), old)
        act = FAULTS[fault]
        try:
            publish_files(Faulty(step, act, for_good=fault.startswith("dies")), new)
        except (Killed, ConnectionError, AirflowSklearnError):
            check_content(where, cast(PublishedManifest, read_published(Storage(), f"{where}/out/day=1")), "old", "new")
        else:
            check_folder(where, "new")
        again = {"the same run": new, "a newer run": newer, "the old run": old}[then]
        try:
            publish_files(Storage(), again, lock_expires=timedelta(0))
        except PublicationRefusedError:
            assert then == "the old run"
            check_folder(where, "new")
        else:
            check_folder(where, {"the same run": "new", "a newer run": "newer", "the old run": "old"}[then])
        publish_files(Storage(), newer)  # nobody is ever refused for what the dead have left
        check_folder(where, "newer")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_first_publication_that_dies_or_fails_at_any_step_is_finished_by_the_next_one(root: str, fault: str) -> None:
    for step in range(1, 30):
        where = f"{root}/{step}"
        first, second = load_of(where, "first"), load_of(where, "second")
        with contextlib.suppress(Killed, ConnectionError, AirflowSklearnError):
            publish_files(Faulty(step, FAULTS[fault], for_good=fault.startswith("dies")), first)
        publish_files(Storage(), second if step % 2 else first, lock_expires=timedelta(0))
        check_folder(where, "second" if step % 2 else "first")


@pytest.mark.parametrize("meanwhile", ["the same run", "a newer run", "the old run", "both"])
def test_one_that_sleeps_at_any_step_while_others_take_over_publishes_nothing_that_is_gone(
    root: str, meanwhile: str
) -> None:
    for step in range(1, steps_of(root, "count") + 1):
        where = f"{root}/{step}"
        old, new, newer = (load_of(where, name) for name in ("old", "new", "newer"))
        others = {"the same run": [new], "a newer run": [newer], "the old run": [old], "both": [new, newer]}[meanwhile]
        publish_files(Storage(), old)

        def sleep(call: Callable[[], Any], others: list[FileLoad] = others) -> Any:
            for other in others:
                try:
                    publish_files(Storage(), other, lock_expires=timedelta(0))
                except PublicationRefusedError:
                    assert other is others[0]  # the old one, when the new one has published already
            return call()

        slow = threading.Thread(target=_publish_quietly, args=(Faulty(step, sleep), new))
        slow.start()
        slow.join()
        check_folder(where, "old", "new", "newer")
        publish_files(Storage(), newer)
        check_folder(where, "newer")


def _publish_quietly(storage: Storage, load: FileLoad) -> None:
    with contextlib.suppress(AirflowSklearnError):
        publish_files(storage, load)


def test_an_older_run_does_not_replace_a_newer_one(root: str, caplog: pytest.LogCaptureFixture) -> None:
    first, second = load_of(root, "monday"), load_of(root, "tuesday")
    publish_files(Storage(), second)
    with pytest.raises(PublicationRefusedError) as caught:
        publish_files(Storage(), first)
    for word in ("20 rows", first.planned.at, second.planned.at, "replace_newer=True", "clear the plan task"):
        assert word in str(caught.value)
    check_folder(root, "tuesday")
    assert replacement_faults(Storage(), first) == [str(caught.value)]
    caplog.set_level("INFO")
    manifest, new = publish_files(Storage(), load_of(root, "monday", planned=first.planned, replace_newer=True))
    assert new
    check_folder(root, "monday")
    assert manifest.replaced is not None
    assert (manifest.replaced.rows, manifest.replaced.planned) == (20, second.planned)
    assert f"Replaced in {root}/out/day=1: 20 rows" in caplog.text
    assert second.planned.at in caplog.text


def test_rows_of_an_older_run_that_are_there_already_stay(root: str) -> None:
    first = load_of(root, "monday")
    publish_files(Storage(), first)
    assert publish_files(Storage(), first)[1] is False


def test_the_newest_run_that_found_its_rows_published_counts(root: str) -> None:
    first, second, third = load_of(root, "a"), load_of(root, "b"), load_of(root, "a")
    publish_files(Storage(), first)
    manifest, new = publish_files(Storage(), third)
    assert (manifest.planned, new) == (third.planned, False)
    with pytest.raises(PublicationRefusedError, match="newer run"):
        publish_files(Storage(), second)


def test_where_no_order_is_known_rows_are_replaced_and_that_is_logged(
    root: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    publish_files(Storage(), load_of(root, "newer"))
    publish_files(Storage(), load_of(root, "unknown", planned=Planned()))
    publish_files(Storage(), load_of(root, "known", planned=Planned(at="2020-01-01T00:00:00.000000+00:00")))
    check_folder(root, "known")
    assert caplog.text.count("Replaced in") == 2


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        ({"task_id": "b.plan"}, True),  # another group of the same run
        ({"map_index": 1}, True),  # another instance of a mapped group
        ({}, False),  # the same task: cleared, and planned anew over another source
        ({"run_id": "r2"}, False),  # the next run of the DAG
        ({"run_id": "r2", "task_id": "b.plan"}, False),  # of which another branch ran
        ({"dag_id": "e"}, False),  # the user has given both DAGs the same partition
        ({"dag_id": "e", "by_default": True}, True),  # nobody has: runs of two DAGs have one name
        ({"dag_id": "", "task_id": "", "run_id": ""}, False),  # not of Airflow
    ],
)
def test_two_tasks_do_not_take_turns_in_replacing_each_others_rows(
    root: str, other: dict[str, Any], refused: bool
) -> None:
    task = {"dag_id": "d", "task_id": "a.plan", "run_id": "r", "map_index": -1}
    publish_files(Storage(), load_of(root, "a", planned=Planned.now(**task)))
    by_default = other.pop("by_default", False)
    planned = Planned.now(**{**task, **other}).model_copy(update={"by_default": by_default})
    if not refused:
        publish_files(Storage(), load_of(root, "b", planned=planned))
        return
    with pytest.raises(PublicationRefusedError, match=r"another task: 20 rows.*the task a\.plan of d in the run r"):
        publish_files(Storage(), load_of(root, "b", planned=planned))
    check_folder(root, "a")
    publish_files(Storage(), load_of(root, "a", planned=planned))  # the very same rows harm nobody


def test_rows_that_are_replaced_by_none_are_worth_a_warning(root: str, caplog: pytest.LogCaptureFixture) -> None:
    publish_files(Storage(), load_of(root, "old"))
    publish_files(Storage(), load_of(root, "empty", parts=0))
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"][-1].startswith(
        f"Replaced in {root}/out/day=1 by no rows at all: 20 rows"
    )


def test_a_copied_folder_is_a_folder_of_its_own(root: str) -> None:
    publish_files(Storage(), load_of(root, "prod"))
    before = names_in(root)
    for path in list(Path(root.removeprefix("file://"), "out", "day=1").iterdir()):
        Storage().write(f"{root}/copy/out/day=1/{path.name}", path.read_bytes())
    copied = read_published(Storage(), f"{root}/copy/out/day=1")
    assert copied is not None
    assert all(part.uri.startswith(f"{root}/copy/") for part in copied.files)
    publish_files(Storage(), load_of(f"{root}/copy", "newer"))
    check_folder(f"{root}/copy", "newer")
    assert names_in(root) == before
    check_folder(root, "prod")


@pytest.mark.parametrize("name", ["../../precious.csv", "_manifest.json", "../day=2/part-00000-0123456789abcdef.csv"])
def test_a_forged_manifest_or_lock_gets_nothing_removed(root: str, name: str) -> None:
    for kept in ("precious.csv", "out/day=2/part-00000-0123456789abcdef.csv", "out/day=1/notes/a.csv"):
        Storage().write(f"{root}/{kept}", b"precious")
    publish_files(Storage(), load_of(root, "old", partition="day=3"))
    manifest = read_published(Storage(), f"{root}/out/day=3")
    assert manifest is not None
    forged = manifest.files[0].model_copy(update={"uri": f"{root}/out/day=3/{name}"})
    document = manifest.model_copy(update={"files": (*manifest.files, forged)})
    Storage().write(f"{root}/out/day=3/_manifest.json", document.to_json())
    publish_files(Storage(), load_of(root, "new", partition="day=3"))
    for kept in ("precious.csv", "out/day=2/part-00000-0123456789abcdef.csv", "out/day=1/notes/a.csv"):
        assert Storage().read(f"{root}/{kept}") == b"precious"
    assert Storage().exists(f"{root}/out/day=3/_manifest.json")


def test_a_part_that_is_not_what_its_digest_says_is_not_published(root: str) -> None:
    publish_files(Storage(), load_of(root, "old"))
    bad = load_of(root, "new")
    path = Path(bad.files[1].uri.removeprefix("file://"))
    path.write_bytes(path.read_bytes().swapcase())
    with pytest.raises(ObjectChangedError, match=r"SHA-256 .* damaged or overwritten.*Fix: delete it"):
        publish_files(Storage(), bad)
    check_folder(root, "old")


def test_a_file_of_a_process_that_should_have_been_dead_is_removed_and_others_are_refused(root: str) -> None:
    first, second = load_of(root, "first"), load_of(root, "second")
    manifest, _ = publish_files(Storage(), first)
    publish_files(Storage(), second)
    Storage().write(manifest.files[0].uri, b"late")
    publish_files(Storage(), second)
    check_folder(root, "second")
    Storage().write(f"{root}/out/day=1/part-00000-0123456789abcdef.csv", b"somebody's")
    with pytest.raises(PublishError, match=r"1 file that this package did not publish \(part-00000"):
        publish_files(Storage(), load_of(root, "third"))


def test_a_late_copy_of_an_abandoned_publication_is_never_taken_for_somebody_elses(root: str) -> None:
    """It may land between any two steps of a publication, and the next one removes it."""
    for step in range(1, steps_of(f"{root}/count", "third") + 1):
        where = f"{root}/{step}"
        manifest, _ = publish_files(Storage(), load_of(where, "first"))
        publish_files(Storage(), load_of(where, "second"))

        def land(call: Callable[[], Any], late: str = manifest.files[0].uri) -> Any:
            answer = call()
            answer = iter(list(answer)) if isinstance(answer, GeneratorType) else answer
            Storage().write(late, b"late")
            return answer

        publish_files(Faulty(step, land), load_of(where, "third"))
        publish_files(Storage(), load_of(where, "fourth"))
        check_folder(where, "fourth")


@pytest.mark.parametrize("then", ["the same run", "a newer run"])
def test_files_of_0_1_0_are_replaced_and_removed_whatever_dies(root: str, then: str) -> None:
    for step in range(10, 28, 2):
        where = f"{root}/{step}"
        old, new, newer = load_of(where, "old", parts=51), load_of(where, "new"), load_of(where, "newer")
        manifest, _ = publish_files(Storage(), load_of(where, "old"))
        Storage().delete(part.uri for part in manifest.files)
        files = []
        for number, part in enumerate(old.files):  # named by their content
            uri = f"{where}/out/day=1/part-{number:05d}-{part.sha256[:16]}.csv"
            Storage().copy(part.uri, uri)
            files.append(part.model_copy(update={"uri": uri}))
        before = manifest.model_copy(update={"files": tuple(files), "earlier": (), "planned": Planned()})
        Storage().write(f"{where}/out/day=1/_manifest.json", before.to_json())
        with contextlib.suppress(Killed):
            publish_files(Faulty(step, die_after, for_good=True), new)
        publish_files(Storage(), new if then == "the same run" else newer, lock_expires=timedelta(0))
        check_folder(where, "new" if then == "the same run" else "newer")


def test_what_killed_copies_left_is_removed(root: str) -> None:
    publish_files(Storage(), load_of(root, "old"))
    Storage().write(f"{root}/out/day=1/.airflow-sklearn-0123456789abcdef.tmp", b"half")
    publish_files(Storage(), load_of(root, "new"))
    check_folder(root, "new")


def test_the_wrapper_counts_what_a_publication_does(root: str) -> None:
    assert {"create", "copy", "replace", "delete", "list"} <= set(dir(LocalStore))
    assert steps_of(root, "count") > 12
