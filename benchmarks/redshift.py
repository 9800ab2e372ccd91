"""How fast a table goes out of Redshift's stand-in and back in: UNLOAD, planning, COPY, and the commit of many chunks.

    python -m benchmarks.redshift                  # 1,000,000 rows by 20 columns, 1,000 chunks
    python -m benchmarks.redshift --rows 100000 --repeat 1

Needs PostgreSQL and root, no Docker. It measures the stand-in (``local_cloud/redshift``, before PostgreSQL) and
ministack's S3 on this machine, NOT Amazon Redshift: look at the ratios. ``psql`` copies the same rows between
PostgreSQL and a CSV file beside it, in turns: what this machine can do at best. What runs is the package's own code:
``unload``, ``finish_plan``, ``verify`` and ``publish_table``, with a real redshift_connector through Airflow's hook.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.contract.data import SourceFiles
from airflow_sklearn.contract.plan import Chunk, Plan
from airflow_sklearn.contract.proof import Proof
from airflow_sklearn.contract.receipt import Consumed, KeyHash, OutputPart, Receipt
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.contract.tables import OutputTable, RedshiftAccess, Snapshot, UnloadSource
from airflow_sklearn.datasets.redshift.access import open_database
from airflow_sklearn.datasets.redshift.database import Answer, Database, Statement
from airflow_sklearn.datasets.redshift.publish import TableLoad, publish_table
from airflow_sklearn.datasets.redshift.types import arrow_type, output_column
from airflow_sklearn.datasets.redshift.unload import describe, unload
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.prediction import draft_plan, finish_plan
from airflow_sklearn.runs.verify import verify
from airflow_sklearn.worker.key_hash import hash_columns
from local_cloud import redshift_cloud
from tests import factories

Result = TypeVar("Result")

ROWS, CHUNKS = 1_000_000, 1_000
TABLE = "flights_of_twenty"
#: Name, type, and how PostgreSQL makes a value of the row's number ``i``.
COLUMNS = {
    "id": ("bigint", "i"),
    **{f"measure_{n}": ("double precision", f"sin(i * {n + 1}) * 1000") for n in range(10)},
    **{f"count_{n}": ("integer", f"(i * {n + 7}) % 100000") for n in range(3)},
    "amount": ("numeric(18,2)", "(i % 1000000) / 100.0"),
    "flag": ("boolean", "i % 3 = 0"),
    **{f"level_{n}": ("varchar(32)", f"'level {n}-' || (i * {n + 3}) % {5 * 10**n}") for n in range(3)},
    "day": ("date", "date '2013-01-01' + (i % 365)::integer"),
}
#: Of a publication, as the package names them.
STEPS = {
    "publish: copy": "  COPY of that Parquet into a staging table",
    "publish: check": "  its rows counted, its keys hashed and counted",
    "publish: swap": "  one transaction: the rows into the table",
}
#: Bytes of a record in the file that the chunks of the commit are cut from.
_RECORD = 10
_WRITERS = 16


class Clock(Database):
    """A database that keeps how long each step took.

    :param database: what runs them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seconds: dict[str, float] = {}

    def run(self, statements: Sequence[Statement], *, step: str) -> list[Answer]:
        started = time.perf_counter()
        answers = self._database.run(statements, step=step)
        self.seconds[step] = time.perf_counter() - started
        return answers

    def cancel(self) -> None:
        self._database.cancel()


class Place:
    """The stand-in with a filled table, and the package's way to it.

    :param stands: a running ``local_cloud.redshift_cloud``.
    :param folder: for psql's files.
    """

    def __init__(self, stands: redshift_cloud.RedshiftCloud, folder: Path, rows: int) -> None:

        self.rows, self.file = rows, folder / "rows.csv"
        self.root = f"s3://{stands.bucket}"
        self.access = RedshiftAccess()
        self.postgres = dataclasses.replace(stands.postgres, database=stands.redshift.database)
        self.redshift = stands.redshift
        aws = AwsConnection("aws_default")
        self.storage = aws.storage()
        self.database = Clock(open_database(self.access, aws, tag="airflow-sklearn benchmark"))

    def fill(self) -> None:
        """The table that is unloaded, and an empty one for psql."""
        columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
        values = ", ".join(value for _, value in COLUMNS.values())
        self.redshift.query(f"CREATE TABLE {TABLE} ({columns})", f"CREATE TABLE {TABLE}_psql ({columns})")
        self.postgres.query(f"insert into {TABLE} select {values} from generate_series(1, {self.rows}::bigint) as i")
        self.postgres.query(f"analyze {TABLE}")
        self.database.run([Statement("SELECT 1")], step="import Airflow's hooks")

    def psql_out(self) -> None:
        self.postgres.query(f"\\copy {TABLE} to '{self.file}' with (format csv)")

    def psql_in(self) -> None:
        self.postgres.query(f"\\copy {TABLE}_psql from '{self.file}' with (format csv)")

    def empty(self) -> None:
        """Before rows go in again: as in the first run."""
        self.postgres.query(f"truncate {TABLE}_psql; checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="of the table (default: %(default)s)")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="of plan and commit (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="counted runs of each (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airflow-sklearn-redshift-") as folder:
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with redshift_cloud.running(Path(folder)) as stands:
            os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(stands.cloud.connection)
            os.environ["AIRFLOW_CONN_REDSHIFT_DEFAULT"] = json.dumps(stands.redshift.connection)
            logging.disable(logging.WARNING)
            place = Place(stands, Path(folder), options.rows)
            place.fill()
            measure(place, options.chunks, options.repeat)


def measure(place: Place, chunks: int, repeat: int) -> None:
    """Run all in turn, and print the table."""
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[..., Result], *arguments: Any) -> Result:
        started = time.perf_counter()
        done = work(*arguments)
        seconds.setdefault(name, []).append(time.perf_counter() - started)
        return done

    for number in range(repeat):
        place.empty()
        timed("psql out", place.psql_out)
        snapshot = timed("UNLOAD", unload_all, place, number)
        timed("psql in", place.psql_in)
        timed("publication", publish, place, table_load(place, snapshot, number))
        for step in STEPS:
            seconds.setdefault(step, []).append(place.database.seconds[step])
        timed("plan", plan_chunks, place, snapshot, chunks)
        plan, plan_uri = chunked_run(place, number, chunks)
        proof = timed("verify", verify, place.storage, plan, plan_uri)
        timed("publish", publish, place, run_load(plan, proof))
    report(place, {name: statistics.median(runs) for name, runs in seconds.items()}, chunks, repeat)


def report(place: Place, seconds: dict[str, float], chunks: int, repeat: int) -> None:
    rows = place.rows
    print(
        f"{rows:,} rows by {len(COLUMNS)} columns, {os.cpu_count()} cores, median of {repeat} runs in turn.\n"
        "This is a stand-in on this machine (a proxy before PostgreSQL, and ministack's S3), not Amazon Redshift.\n"
    )
    print(f"{'':50}{'s':>8}{'rows/s':>12}{'of psql':>9}")
    lines = {
        "psql out": "psql \\copy to a CSV file",
        "UNLOAD": "UNLOAD to Parquet, checked against its manifest",
        "psql in": "psql \\copy from a CSV file",
        "publication": "Publication of all of it into a new table",
        **STEPS,
    }
    for name, label in lines.items():
        best = seconds["psql out" if name == "UNLOAD" else "psql in"]
        ratio = f"{best / seconds[name]:>9.2f}" if name in ("UNLOAD", "publication", "publish: copy") else ""
        print(f"{label:50}{seconds[name]:>8.2f}{rows / seconds[name]:>12,.0f}{ratio}")
    copy, publication = seconds["publish: copy"] / seconds["UNLOAD"], seconds["publication"] / seconds["UNLOAD"]
    print(f"COPY takes {copy:.2f} times as long as UNLOAD, the whole publication {publication:.2f} times.\n")
    plan, proof, load = seconds["plan"], seconds["verify"], seconds["publish"]
    speed = f"{chunks / plan:,.0f} chunks/s, {rows / plan:,.0f} rows/s"
    print(f"Planning {chunks:,} chunks of these rows: {plan:.2f} s, {speed}")
    print(
        f"Commit of {chunks:,} chunks, {chunks * 1000:,} rows of 3 columns in {chunks:,} files: {proof + load:.2f} s\n"
        f"(receipts read and proved in {proof:.2f} s, published in {load:.2f} s)"
    )


# --- The table out, and in again ---


def unload_all(place: Place, number: int) -> Snapshot:
    """All rows and columns; the snapshot."""

    source = UnloadSource(table=(TABLE,), access=place.access, staging=f"{place.root}/staging")
    columns = describe(place.database, source)
    snapshot = unload(
        place.database, place.storage, source, columns, folder=f"{place.root}/unloads/{number}/0", attempt="1"
    )
    assert snapshot.rows == place.rows
    return snapshot


def table_load(place: Place, snapshot: Snapshot, number: int) -> TableLoad:
    """The unloaded files as what goes into a new table, with the hash of their keys as workers compute it."""

    files, hashes = [], 0
    for obj in place.storage.expand(snapshot.files.uris):
        data = place.storage.read(obj.uri)
        keys = pq.read_table(io.BytesIO(data), columns=["id"])
        hashes += int(hash_columns(keys).sum())
        files.append(
            OutputPart(uri=obj.uri, sha256=hashlib.sha256(data).hexdigest(), size=obj.size, rows=keys.num_rows)
        )
    columns = [output_column(one.name, arrow_type(one.type) or "", type=one.type) for one in snapshot.columns]
    return TableLoad(
        table=_destination(place, f"{TABLE}_{number}"),
        columns=tuple(column for column in columns if column),
        key=("id",),
        files=tuple(files),
        rows=place.rows,
        key_hash=KeyHash(value=hashes % 2**64),
        fingerprint=hashlib.sha256(f"{number}".encode()).hexdigest(),
        run="benchmark",
        published_by="benchmark",
        attempt="1",
    )


def publish(place: Place, load: TableLoad) -> None:

    done = publish_table(place.database, place.storage, load)
    assert done.published, done
    assert done.rows == load.rows, done


def _destination(place: Place, table: str) -> OutputTable:

    return OutputTable(table=(table,), if_exists="fail", access=place.access, staging=f"{place.root}/staging")


# --- A run of many chunks ---


def plan_chunks(place: Place, snapshot: Snapshot, chunks: int) -> None:
    """A whole plan, from the model's manifest to the plan in its ledger."""

    model = f"{place.root}/model"
    if not place.storage.exists(f"{model}/latest.json"):
        factories.stored_model(place.storage, model)
    draft = draft_plan(place.storage, model=model, destination=_destination(place, "planned"), partition="all")
    plan, _ = finish_plan(place.storage, draft, snapshot.files, snapshot=snapshot, chunk_size=1, max_chunks=chunks)
    assert len(plan.chunks) == chunks


def chunked_run(place: Place, number: int, chunks: int) -> tuple[Plan, str]:
    """A run whose chunks are predicted: its plan, over a file of small records, and a receipt and a part a chunk."""

    uri = f"{place.root}/runs/{number}/source.csv"
    place.storage.write(uri, f"{'1,2':>{_RECORD - 1}}\n".encode() * (chunks * 1000))
    destination = _destination(place, f"predicted_{number}")
    draft = draft_plan(
        place.storage, model=f"{place.root}/model", destination=destination, partition="all", method="predict_proba"
    )
    names = {"id": "int64", "y_proba_0": "double", "y_proba_1": "double"}
    columns = [output_column(name, kind) for name, kind in names.items()]
    source = SourceFiles(uris=(uri,), file_format="csv")
    plan, plan_uri = finish_plan(
        place.storage,
        draft,
        source,
        table_columns=[column for column in columns if column],
        chunk_size=1000 * _RECORD,
        max_chunks=chunks,
    )
    ledger = Ledger(place.storage, plan.ledger)
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(lambda one: ledger.record(receipt(ledger, plan, *one)), enumerate(plan.chunks)))
    return plan, plan_uri


def receipt(ledger: Ledger, plan: Plan, number: int, chunk: Chunk) -> Receipt:
    """What a worker leaves of a chunk: its part, and the receipt of it."""

    rows = chunk.size // _RECORD
    keys = np.arange(number * 1000, number * 1000 + rows)
    shares = np.random.default_rng(number).random(rows)
    table = pa.table({"id": keys, "y_proba_0": shares, "y_proba_1": 1 - shares})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    data = sink.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    part = OutputPart(uri=ledger.part_uri(sha256, ".parquet"), sha256=sha256, size=len(data), rows=rows)
    ledger.storage.write(part.uri, data)
    pieces = chunk.pieces
    return Receipt(
        fingerprint=plan.fingerprint,
        chunk_id=chunk.id,
        consumed=tuple(
            Consumed(object=one.object, first=one.start, last=one.end, total=one.object.size, rows=rows)
            for one in pieces
        ),
        rows_in=rows,
        rows_out=rows,
        parts=(part,),
        columns=tuple(Column(name=field.name, arrow_type=str(field.type)) for field in table.schema),
        key_hash=KeyHash(value=int(hash_columns(table.select(["id"])).sum()) % 2**64),
        model_sha256="0" * 64,
    )


def run_load(plan: Plan, proof: Proof) -> TableLoad:
    """As the commit's operator does."""
    assert isinstance(plan.destination, OutputTable)
    return TableLoad(
        table=plan.destination,
        columns=plan.table_columns,
        key=tuple(column.name for column in plan.spec.primary_key),
        files=proof.files,
        rows=proof.rows_out,
        key_hash=proof.key_hash,
        fingerprint=proof.fingerprint,
        run=plan.partition,
        published_by="benchmark",
        attempt="1",
    )


if __name__ == "__main__":
    main()
