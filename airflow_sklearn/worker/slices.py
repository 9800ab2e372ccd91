"""One process's share of a chunk: read, conform, predict, write; a batch at a time."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.receipt import KeyHash, OutputPart, Timings
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.models.schema import read_columns
from airflow_sklearn.problems import ProblemCollector
from airflow_sklearn.worker.artifact import file_sha256
from airflow_sklearn.worker.conform import Conformer
from airflow_sklearn.worker.data.parquet_file import read_footer
from airflow_sklearn.worker.data.sinks import open_sink
from airflow_sklearn.worker.data.source import ReadColumn, read_piece
from airflow_sklearn.worker.data.types import parse_type
from airflow_sklearn.worker.keys import KeyLog
from airflow_sklearn.worker.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.plan import Piece
    from airflow_sklearn.contract.problems import Problem
    from airflow_sklearn.contract.receipt import Consumed, FeatureSketch
    from airflow_sklearn.ledger import Ledger
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.data.sinks import Sink

_CARRIED = "\0carried:"  # before the names of columns that are read once for the model and once to be carried

#: What rows may have that their reader lets pass: the policy that refuses it, and by which value.
_REFUSED_BY_POLICY = {
    "unseen_level": ("unseen_levels", "error"),
    "unexpected_null": ("unexpected_nulls", "error"),
    "duplicate_key": ("duplicate_keys", "error"),
}
_ALWAYS_REFUSED = "null_key"


@dataclass
class SliceResult:
    """What one process did. Crosses from a forked process to its parent."""

    consumed: list[Consumed] = field(default_factory=list)
    rows_in: int = 0
    rows_quarantined: int = 0
    parts: list[OutputPart] = field(default_factory=list)
    quarantine: list[OutputPart] = field(default_factory=list)
    local_parts: list[str] = field(default_factory=list)
    problems: tuple[Problem, ...] = ()
    refused: bool = False
    """Problems that the policies do not let pass: there is no output."""
    sketches: dict[str, FeatureSketch] = field(default_factory=dict)
    prediction_counts: Counter[str] = field(default_factory=Counter)
    key_hash: KeyHash = field(default_factory=KeyHash)
    key_log: str = ""
    timings: Timings = field(default_factory=Timings)


class SlicePredictor:
    """Predicts the pieces of one slice into one file.

    :param storage: holds the source and takes the output.
    :param estimator: the fitted estimator, shared with other processes by copy on write.
    :param scratch: a local folder.
    :param advance: called with rows and source bytes as they are done.
    """

    def __init__(
        self,
        storage: Storage,
        job: PredictJob,
        manifest: ModelManifest,
        estimator: Any,
        ledger: Ledger,
        scratch: str,
        advance: Callable[[int, int], None],
    ) -> None:
        self._job, self._spec, self._schema = job, job.spec, manifest.feature_schema
        self._ledger, self._scratch, self._advance = ledger, scratch, advance
        self._predictor = Predictor(estimator, self._schema.features, job.spec.outputs, job.spec.batch_rows)
        self._problems = ProblemCollector()
        self._refused = False
        self._conformer = Conformer(self._schema, self._problems)
        self._storage = storage
        self._carried, self._columns = _columns_to_read(storage, job, manifest)
        self._known = frozenset(column.name for column in manifest.columns)
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def run(self, pieces: Sequence[Piece], name: str) -> SliceResult:
        """:param name: of this slice, for its scratch files."""
        result = SliceResult(key_log=os.path.join(self._scratch, f"{name}.keys"))
        keys = KeyLog(result.key_log, [column.name for column in self._schema.primary_key])
        rejects = _Rejects(os.path.join(self._scratch, f"{name}.quarantine"))
        path = os.path.join(self._scratch, f"{name}{output_ending(self._job)}")
        schema = pa.schema([*self._carried_schema(), *self._predictor.schema])
        sink = open_sink(path, schema, self._spec.output_format, self._spec.output_csv)
        rows_out = 0
        for batch in _rebatch(self._read(pieces, rejects, result), self._spec.batch_rows):
            carried = batch.select([name for name, _ in self._carried]).rename_columns([n for _, n in self._carried])
            with _Clock(self._seconds, "predict"):
                predicted = self._predictor(batch)
            keys.add(carried)
            if self._spec.method == "predict":
                _count_labels(predicted, self._spec.outputs[0], result.prediction_counts)
            with _Clock(self._seconds, "write"):
                sink.write(pa.Table.from_arrays([*carried.columns, *predicted.columns], schema=schema))
            rows_out += batch.num_rows
        sink.close()
        result.key_hash = keys.close()
        result.rows_quarantined = rejects.close()
        result.problems, result.sketches = self._problems.problems(), self._conformer.sketches
        result.refused = self._is_refused()
        if not result.refused:
            with _Clock(self._seconds, "write"):
                result.parts = [self._upload(path, rows_out, output_ending(self._job))]
                if result.rows_quarantined:
                    result.quarantine = [self._upload(rejects.path, result.rows_quarantined, ".quarantine.parquet")]
        result.local_parts = [path]
        result.timings = Timings(**self._seconds)
        return result

    def _read(self, pieces: Iterable[Piece], rejects: _Rejects, result: SliceResult) -> Iterator[pa.Table]:
        """Rows of all pieces. After a fault that refuses the chunk, the rest is read for its faults, not predicted."""
        for piece in pieces:
            uri, before, started = piece.object.uri, 0, time.perf_counter()
            try:
                reader = read_piece(
                    self._storage,
                    self._spec.source,
                    piece,
                    self._columns,
                    wrong_types=self._spec.policies.wrong_types,
                    problems=self._problems,
                    on_rejected=rejects.add,
                    key=[name for name, _ in self._carried[: len(self._schema.primary_key)]],
                    ignored=self._known,
                )
                for table in _rebatch(reader, self._spec.batch_rows):
                    self._conformer.check(table, uri)
                    self._seconds["read"] += time.perf_counter() - started
                    if not self._is_refused():
                        yield table
                    self._advance(table.num_rows, reader.bytes_read - before)
                    before, started = reader.bytes_read, time.perf_counter()
            except DataError:  # what it says is in self._problems already
                self._refused = True
                continue
            self._advance(0, reader.bytes_read - before)
            assert reader.consumed is not None
            result.consumed.append(reader.consumed)
            result.rows_in += reader.consumed.rows

    def _is_refused(self) -> bool:
        return self._refused or bool(fatal(self._problems.problems(), self._job))

    def _carried_schema(self) -> list[pa.Field]:
        types = {column.name: column.type for column in self._columns}
        return [pa.field(name, types[read_name]) for read_name, name in self._carried]

    def _upload(self, path: str, rows: int, ending: str) -> OutputPart:
        sha256 = file_sha256(path)
        uri = self._ledger.part_uri(sha256, ending)
        self._storage.upload(path, uri)
        return OutputPart(uri=uri, sha256=sha256, size=os.path.getsize(path), rows=rows)


def fatal(problems: Iterable[Problem], job: PredictJob) -> list[Problem]:
    """Those problems of rows as they were read that the job's policies do not let pass."""

    def refused(kind: str) -> bool:
        policy, value = _REFUSED_BY_POLICY.get(kind, ("", ""))
        return kind == _ALWAYS_REFUSED or (policy != "" and getattr(job.spec.policies, policy) == value)

    return [problem for problem in problems if refused(problem.kind)]


def output_ending(job: PredictJob) -> str:
    """The ending of files of predictions."""
    if job.spec.output_format == "parquet":
        return ".parquet"
    return ".csv" + {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2"}.get(job.spec.output_csv.compression, "")


def _columns_to_read(
    storage: Storage, job: PredictJob, manifest: ModelManifest
) -> tuple[list[tuple[str, str]], list[ReadColumn]]:
    """The columns to read, and which of them are carried into the output under which name.

    A feature that is carried as well is read twice, as the model needs it and as it is.
    """
    schema, policies = manifest.feature_schema, job.spec.policies
    types = {column.name: parse_type(column.arrow_type) for column in (*manifest.columns, *schema.primary_key)}
    if set(job.spec.passthrough) - set(types) and job.spec.source.file_format == "parquet" and job.chunk.pieces:
        # Training did not have the column: it is what the chunk's first file says. In CSV it stays the text it is.
        types = {field.name: field.type for field in read_footer(storage, job.chunk.pieces[0].object).schema} | types
    required = policies.missing_columns == "error"
    read = [ReadColumn(n, parse_type(t), dictionary=d, required=required) for n, t, d in read_columns(schema)]
    features = {column.name: column for column in read}
    carried = []
    for name in (*(column.name for column in schema.primary_key), *job.spec.passthrough):
        wanted = types.get(name, pa.string())
        if name in features and (features[name].type != wanted or features[name].dictionary):
            carried.append((_CARRIED + name, name))
            read.append(ReadColumn(_CARRIED + name, wanted, required=True, source_name=name))
        else:
            carried.append((name, name))
            if name not in features:
                read.append(ReadColumn(name, wanted, required=True))
    return carried, read


def _rebatch(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of just ``rows`` rows, the last one shorter; each column in one piece."""
    pending: list[pa.Table] = []
    count = 0
    for table in tables:
        while table.num_rows:
            taken = table.slice(0, rows - count)
            pending.append(taken)
            count += taken.num_rows
            table = table.slice(taken.num_rows)
            if count == rows:
                yield _join(pending)
                pending, count = [], 0
    if pending:
        yield _join(pending)


def _join(tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1 and all(column.num_chunks == 1 for column in tables[0].columns):
        return tables[0]
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _count_labels(predicted: pa.Table, output: Any, counts: Counter[str]) -> None:
    if output.arrow_type != "double":
        for pair in pc.value_counts(predicted[output.name]).to_pylist():
            counts[str(pair["values"])] += pair["counts"]


class _Rejects:
    """Rows set aside, as text with the reason, in a Parquet file that is made when there is a first one."""

    def __init__(self, path: str) -> None:
        self.path, self._rows = path, 0
        self._sink: Sink | None = None

    def add(self, table: pa.Table) -> None:
        names = [name.removeprefix(_CARRIED) for name in table.column_names]
        first = [i for i, name in enumerate(names) if name not in names[:i]]
        table = table.select(first).rename_columns([names[i] for i in first])
        if self._sink is None:
            self._sink = open_sink(self.path, table.schema, "parquet")
        self._sink.write(table)
        self._rows += table.num_rows

    def close(self) -> int:
        if self._sink is not None:
            self._sink.close()
        return self._rows


class _Clock:
    def __init__(self, seconds: defaultdict[str, float], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] += time.perf_counter() - self._started
