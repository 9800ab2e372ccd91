"""One set of tests for each kind of storage: what holds for files holds for S3, and for a scheme of a user's own."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from urllib3.exceptions import ProtocolError

from airflow_sklearn.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    UserError,
)
from airflow_sklearn.storage import Storage, join
from airflow_sklearn.storage.registry import register_store
from airflow_sklearn.storage.temporary import temporary_file
from airflow_sklearn.system.forks import run_in_processes
from tests.plugins.lite_store import VARIABLE

if TYPE_CHECKING:
    from local_cloud.ministack import Cloud


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.services), "lite"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder's URI; for S3 in a bucket of the test's own."""
    if request.param == "file":
        return f"file://{tmp_path}/a folder"
    if request.param == "lite":
        register_store("lite", "tests.plugins.lite_store:LiteStore")
        monkeypatch.setenv(VARIABLE, f"{tmp_path}/objects.db")
        return "lite://a folder"
    return f"s3://{request.getfixturevalue('bucket')}/a folder"


@pytest.fixture
def storage(request: pytest.FixtureRequest, root: str) -> Storage:
    return Storage(request.getfixturevalue("cloud").client) if root.startswith("s3") else Storage()


def test_what_was_written_is_read_whole_and_in_ranges(storage: Storage, root: str) -> None:
    uri = f"{root}/x=1/ä%20b.csv"
    etag = storage.write(uri, b"0123456789")
    assert storage.read(uri) == b"0123456789"
    assert storage.read(uri, start=3, end=5, etag=etag) == b"34"
    assert storage.read(uri, start=8) == b"89"
    assert storage.read(uri, start=4, end=4) == b""
    found = storage.stat(uri)
    assert (found.uri, found.etag, found.size) == (uri, etag, 10)


def test_an_absent_object_is_named(storage: Storage, root: str) -> None:
    for call in (storage.stat, storage.read):
        with pytest.raises(ObjectNotFoundError, match=r"nothing\.csv"):
            call(f"{root}/nothing.csv")
    assert not storage.exists(f"{root}/nothing.csv")


def test_a_changed_object_is_an_error_and_never_a_mixture(storage: Storage, root: str) -> None:
    uri = f"{root}/x.csv"
    etag = storage.write(uri, b"old" * 1_000_000)
    with storage.open(uri, etag=etag) as stream:
        stream.read(1000)
        storage.write(uri, b"new" * 1_000_000)
        rest = stream.read()  # what was opened is still the old version, to its end
        assert b"new" not in rest
    with pytest.raises(ObjectChangedError, match=r"x\.csv has changed"):
        storage.read(uri, etag=etag)


def test_a_file_changed_in_place_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a" * 100)
    with Storage().open(f"file://{path}") as stream:
        stream.read(10)
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(ObjectChangedError):
            stream.read(10)


def test_of_many_writers_that_create_one_wins(storage: Storage, root: str) -> None:
    uri = f"{root}/receipt.json"
    barrier, won = threading.Barrier(16), []

    def create(number: int) -> None:
        barrier.wait()
        try:
            storage.create(uri, b"%d" % number)
        except ObjectExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read(uri) == b"%d" % won[0]


def test_replace_needs_the_version_that_was_seen(storage: Storage, root: str) -> None:
    uri = f"{root}/x"
    first = storage.write(uri, b"1")
    storage.replace(uri, b"22", etag=first)
    with pytest.raises(ObjectChangedError):
        storage.replace(uri, b"333", etag=first)
    assert storage.read(uri) == b"22"
    with pytest.raises(ObjectChangedError):
        storage.replace(f"{root}/none", b"1", etag=first)


def test_copy_upload_download_delete(storage: Storage, root: str, tmp_path: Path) -> None:
    local = tmp_path / "local.bin"
    local.write_bytes(bytes(range(256)) * 50_000)
    storage.upload(str(local), f"{root}/a")
    storage.copy(f"{root}/a", f"{root}/b")
    storage.copy(f"{root}/a", f"{root}/b")
    storage.download(f"{root}/b", str(tmp_path / "again.bin"))
    assert (tmp_path / "again.bin").read_bytes() == local.read_bytes()
    storage.delete([f"{root}/a", f"{root}/gone"])
    assert [found.uri for found in storage.list(f"{root}/")] == [f"{root}/b"]
    with pytest.raises(ObjectNotFoundError):
        storage.copy(f"{root}/a", f"{root}/c")


def test_listing_passes_a_thousand_objects_and_is_sorted(storage: Storage, root: str) -> None:
    for number in range(1005):
        storage.write(f"{root}/{number:04d}", b"x")
    assert [found.uri for found in storage.list(f"{root}/")] == [f"{root}/{number:04d}" for number in range(1005)]


def test_expand_knows_objects_prefixes_and_globs_and_leaves_out_what_is_hidden(storage: Storage, root: str) -> None:
    names = ["a.csv", "b.csv", "c.txt", "ds=_x/d.csv", "sub/e.csv", "_ledger/f.csv", "sub/_manifest.json", ".g.csv"]
    for name in names:
        storage.write(f"{root}/{name}", b"x")

    def names_of(*patterns: str) -> list[str]:
        return [o.uri[len(root) + 1 :] for o in storage.expand([f"{root}/{p}" for p in patterns])]

    assert names_of("a.csv") == ["a.csv"]
    assert names_of("*.csv", "a.csv") == ["a.csv", "b.csv"]
    assert names_of("**/*.csv") == ["a.csv", "b.csv", "ds=_x/d.csv", "sub/e.csv"]
    assert names_of("") == ["a.csv", "b.csv", "c.txt", "ds=_x/d.csv", "sub/e.csv"]
    assert names_of("[ab].csv") == ["a.csv", "b.csv"]
    assert names_of("?.txt") == ["c.txt"]


def test_expand_names_everything_that_matches_nothing(storage: Storage, root: str) -> None:
    storage.write(f"{root}/a.csv", b"x")
    with pytest.raises(ObjectNotFoundError, match=r"b\.csv, .*2013.*\.csv"):
        storage.expand([f"{root}/b.csv", f"{root}/2013*.csv", f"{root}/a.csv"])
    assert storage.expand([f"{root}/2013*.csv"], allow_empty=True) == ()
    with pytest.raises(ObjectNotFoundError):
        storage.expand([f"{root}/b.csv"], allow_empty=True)


def test_a_forked_process_reads_with_a_client_of_its_own(storage: Storage, root: str) -> None:
    uri = f"{root}/x"
    storage.write(uri, b"from the parent")
    storage.read(uri)
    assert run_in_processes(lambda _: storage.read(uri), 4) == [b"from the parent"] * 4


@pytest.mark.parametrize("uri", ["x.csv", "http://host/x.csv", "file://relative.csv", "s3:///key"])
def test_what_is_no_storage_uri_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match=r"Use|slashes"):
        Storage().stat(uri)


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="put a slash at its end"):
        Storage().stat(f"file://{tmp_path}")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Cannot write"):
        Storage().write(f"file://{tmp_path}/file/x", b"")


class _BreakingBody(io.BytesIO):
    """Breaks after every 1,000 bytes, as a connection does."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 1000:
            raise ProtocolError("Connection broken")
        return super().read(min(size or 0, 1000))


def test_a_stream_that_breaks_is_resumed_where_it_broke_in_the_same_version(cloud: Cloud, bucket: str) -> None:
    client = cloud.client()
    data = bytes(i % 251 for i in range(10_000))
    etag = client.put_object(Bucket=bucket, Key="x", Body=data)["ETag"]
    asked: list[tuple[str, str]] = []

    class Client:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def get_object(self, **kwargs: Any) -> dict[str, Any]:
            asked.append((kwargs.get("Range", "all"), kwargs.get("IfMatch", "any")))
            answer = client.get_object(**kwargs)
            return {**answer, "Body": _BreakingBody(answer["Body"].read())}

    assert Storage(Client).read(f"s3://{bucket}/x") == data
    assert asked == [("all", "any"), *((f"bytes={i}-9999", etag) for i in range(1000, 10_000, 1000))]


def test_join() -> None:
    assert join("s3://b/a/", "/c/", "d.csv") == "s3://b/a/c/d.csv"
    assert join("file:///a", "") == "file:///a/"


def test_a_name_may_hold_what_is_a_wild_card_elsewhere(storage: Storage, root: str) -> None:
    for name in ("data [1].csv", "data 1.csv", "what?.csv"):
        storage.write(f"{root}/{name}", b"x")
    assert [o.uri for o in storage.expand([f"{root}/data [1].csv"])] == [f"{root}/data [1].csv"]
    assert [o.uri for o in storage.expand([f"{root}/data [12].csv", f"{root}/data ?.csv"], allow_empty=True)] == [
        f"{root}/data 1.csv"
    ]
    assert [o.uri for o in storage.expand([f"{root}/what?.csv"])] == [f"{root}/what?.csv"]


def test_a_read_beside_a_writer_gets_one_version_whole(storage: Storage, root: str) -> None:
    uri, done = f"{root}/latest.json", threading.Event()
    storage.write(uri, b"a" * 1000)

    def write() -> None:
        while not done.is_set():
            for size in (1000, 3000):
                storage.write(uri, b"%c" % (97 + size // 1000) * size)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = {storage.read(uri) for _ in range(300)}
    finally:
        done.set()
        writer.join()
    assert {(len(data), len(set(data))) for data in found} <= {(1000, 1), (3000, 1)}


def test_files_behind_symbolic_links_are_listed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "in")
    names = [o.uri.removeprefix(f"file://{tmp_path}/in/") for o in Storage().list(f"file://{tmp_path}/in/")]
    assert names == ["link/a.csv"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.csv").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root, which tests run as in containers, may look into everything
    with pytest.raises(StorageError, match=r"closed cannot be listed: .*Permission denied"):
        list(Storage().list(f"file://{tmp_path}/"))


def test_an_upload_that_s3_refuses_says_what_s3_said(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(ObjectNotFoundError, match="No bucket for s3://no-such-bucket/x"):
        Storage(cloud.client).upload(str(tmp_path / "x"), "s3://no-such-bucket/x")


def test_a_copy_is_made_of_what_is_known_and_of_nothing_else(storage: Storage, root: str) -> None:
    data, sha256 = b"rows", hashlib.sha256(b"rows").hexdigest()
    etag = storage.write(f"{root}/a", data)
    for known in ({"sha256": sha256}, {"sha256": sha256, "etag": etag}, {"sha256": sha256, "etag": '"another"'}):
        storage.copy(f"{root}/a", f"{root}/b", **known)
        assert storage.read(f"{root}/b") == data
        storage.delete([f"{root}/b"])
    storage.write(f"{root}/a", b"rowz")
    for known in ({"sha256": sha256}, {"sha256": sha256, "etag": etag}):
        with pytest.raises(ObjectChangedError, match="damaged or overwritten"):
            storage.copy(f"{root}/a", f"{root}/b", **known)
    assert not storage.exists(f"{root}/b")


def test_a_version_in_s3_that_is_known_is_copied_without_being_read(cloud: Cloud, bucket: str) -> None:
    client, calls = cloud.client(), list[str]()

    class Client:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(client, name)

    storage = Storage(Client)
    etag = storage.write(f"s3://{bucket}/a", b"rows")
    storage.copy(f"s3://{bucket}/a", f"s3://{bucket}/b", etag=etag, sha256=hashlib.sha256(b"rows").hexdigest())
    assert "get_object" not in calls


def test_the_version_that_was_stored_is_told(storage: Storage, root: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    told = storage.upload(str(tmp_path / "x"), f"{root}/x")
    assert told == (storage.stat(f"{root}/x").etag if root.startswith("s3") else "")
    assert storage.create(f"{root}/y", b"y") == storage.stat(f"{root}/y").etag


def test_a_copied_file_shares_nothing_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"rows")
    Storage().copy(f"file://{tmp_path}/a", f"file://{tmp_path}/b")
    (tmp_path / "b").open("r+b").write(b"hack")
    assert (tmp_path / "a").read_bytes() == b"rows"


def test_a_file_is_copied_where_the_kernel_does_not_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "a").write_bytes(b"rows" * 100_000)
    Storage().copy(f"file://{tmp_path}/a", f"file://{tmp_path}/b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_file_changed_in_place_with_its_times_set_back_is_another_version(tmp_path: Path) -> None:
    path, uri = tmp_path / "x.csv", f"file://{tmp_path}/x.csv"
    path.write_bytes(b"old")
    before, etag = os.stat(path), Storage().stat(uri).etag
    time.sleep(0.02)  # the kernel's clock for files ticks every 4 ms, every 10 ms on some machines
    path.open("r+b").write(b"new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ObjectChangedError):
        Storage().read(uri, etag=etag)
    with pytest.raises(ObjectChangedError):
        Storage().replace(uri, b"newer", etag=etag)


def test_a_version_that_0_1_0_has_noted_is_known(tmp_path: Path) -> None:
    path, uri = tmp_path / "x.csv", f"file://{tmp_path}/x.csv"
    path.write_bytes(b"old")
    status = os.stat(path)
    etag = f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"
    assert Storage().read(uri, etag=etag) == b"old"
    Storage().replace(uri, b"new", etag=etag)
    with pytest.raises(ObjectChangedError):
        Storage().read(uri, etag=etag)


@pytest.mark.parametrize("method", ["write", "create"])
@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o002, 0o664)])
def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path, method: str, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        getattr(Storage(), method)(f"file://{tmp_path}/sub/x", b"personal")
        Storage().copy(f"file://{tmp_path}/sub/x", f"file://{tmp_path}/sub/copy")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(os.stat(tmp_path / "sub" / name).st_mode) for name in ("x", "copy")] == [mode, mode]
    assert stat.S_IMODE(os.stat(tmp_path / "sub").st_mode) == mode | (mode & 0o444) >> 2


@pytest.mark.parametrize("pattern", ["", "*.csv", "**/*.csv", "sub/", "*/x.csv", "[s]ub/*"])
def test_a_link_that_leads_nowhere_is_an_error_where_it_may_be_meant(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.csv").write_bytes(b"x")
    (tmp_path / "a.csv").write_bytes(b"x")
    (tmp_path / "sub" / "y.csv").symlink_to(tmp_path / "unmounted" / "y.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "unmounted" / "b.csv")
    with pytest.raises(StorageError, match=r"symbolic link to .*unmounted.*which is not there"):
        Storage().expand([f"file://{tmp_path}/{pattern}"])


def test_a_folder_that_is_not_mounted_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "2023").mkdir()
    (tmp_path / "2023" / "x.csv").write_bytes(b"x")
    (tmp_path / "2024").symlink_to(tmp_path / "unmounted")
    with pytest.raises(StorageError, match=r"2024 is a symbolic link"):
        Storage().expand([f"file://{tmp_path}/*/x.csv"])


def test_links_in_a_circle_and_pipes_are_errors_and_no_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(StorageError, match=r"a\.csv"):
        Storage().expand([f"file://{tmp_path}/*.csv"])
    (tmp_path / "a.csv").unlink()
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(StorageError, match=r"b\.csv is neither a file nor a folder"):
        Storage().expand([f"file://{tmp_path}/*.csv"])


def test_links_that_lead_nowhere_and_are_not_meant_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x")
    for name in ("notes.txt", "_hidden", ".venv"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert [o.uri for o in Storage().expand([f"file://{tmp_path}/*.csv"])] == [f"file://{tmp_path}/a.csv"]
    (tmp_path / "notes.txt").unlink()
    assert [o.uri for o in Storage().expand([f"file://{tmp_path}/"])] == [f"file://{tmp_path}/a.csv"]


@pytest.mark.parametrize("pattern", ["*.csv", "?.csv", "date=*/*.csv", "[ad]*/*.csv", "date=1/*.csv"])
def test_a_glob_looks_into_no_folder_in_which_nothing_can_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    for name in ("a.csv", "date=1/a.csv", "lost+found/b.csv", "date=1/lost+found/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("lost+found"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root, which tests run as in containers, may look into everything
    assert len(Storage().expand([f"file://{tmp_path}/{pattern}"])) == 1
    with pytest.raises(StorageError, match=r"lost\+found cannot be listed"):
        Storage().expand([f"file://{tmp_path}/**/*.csv"])


def test_what_the_dead_were_writing_is_removed_and_what_the_living_write_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def die(_: int) -> None:
        with temporary_file(str(folder)):
            os.kill(os.getpid(), signal.SIGKILL)

    folder.mkdir()
    with pytest.raises(Exception, match=r"(?i)signal|killed|died|ended"):
        run_in_processes(die, 2)
    with temporary_file(str(folder)) as (name, _):
        (folder / ".tmp-report.csv").write_bytes(b"of another program")
        assert len(list(folder.iterdir())) >= 3
        assert Storage().remove_abandoned(f"file://{tmp_path}/") >= 1
        assert sorted(path.name for path in folder.iterdir()) == sorted([os.path.basename(name), ".tmp-report.csv"])
        assert Storage().expand([f"file://{folder}/"], allow_empty=True) == ()


def test_temporary_files_of_0_1_0_go_when_they_are_a_day_old(tmp_path: Path) -> None:
    for name, age in ((".tmp-abcdefgh", 90_000), (".tmp-12345678", 10)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    Storage().remove_abandoned(f"file://{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == [".tmp-12345678"]


def test_of_many_writers_one_wins_where_names_cannot_be_given_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_sklearn.storage.temporary._renameat2", lambda: None)
    etag = Storage().create(f"file://{tmp_path}/x", b"1")
    assert Storage().read(f"file://{tmp_path}/x", etag=etag) == b"1"
    with pytest.raises(ObjectExistsError):
        Storage().create(f"file://{tmp_path}/x", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_scheme_that_is_taken_is_not_given_to_another_store() -> None:
    with pytest.raises(UserError, match=r"s3:// is airflow_sklearn\.storage\.s3:S3Store's"):
        register_store("s3", "tests.plugins.lite_store:LiteStore")


def test_a_scheme_of_an_installed_package_is_known_in_every_process(tmp_path: Path) -> None:
    info = tmp_path / "lite-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lite\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[airflow_sklearn.storage]\nlite = tests.plugins.lite_store:LiteStore\n")
    source = (
        "from airflow_sklearn.storage import Storage, use_aws; Storage().create('lite://x', b'1'); "
        "print(Storage().read('lite://x'), use_aws(['lite://x', 'file:///x']), use_aws(['lite://x', 's3://b/x']))"
    )
    paths = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path), os.getcwd()])
    environment = {**os.environ, "PYTHONPATH": paths, VARIABLE: f"{tmp_path}/objects.db"}
    done = subprocess.run([sys.executable, "-c", source], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "b'1' False True\n"
