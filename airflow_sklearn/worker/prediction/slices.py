"""One slice of a chunk: read, check, predict and write its rows, a batch at a time."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_sklearn.contract.bins import packed, score_edges
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.contract.receipt import KeyHash, OutputPart, Timings
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.exceptions import DataError
from airflow_sklearn.models.columns import numbers
from airflow_sklearn.worker.artifact import file_sha256
from airflow_sklearn.worker.data.output_types import DOES_NOT_FIT, OutputTypes
from airflow_sklearn.worker.data.rebatch import rebatch
from airflow_sklearn.worker.data.registry import read_piece
from airflow_sklearn.worker.data.sinks import open_sink
from airflow_sklearn.worker.parity import filler_of
from airflow_sklearn.worker.prediction.bin_counts import EdgeCounts
from airflow_sklearn.worker.prediction.explainer import Explainer
from airflow_sklearn.worker.prediction.keys import KeyHasher
from airflow_sklearn.worker.prediction.output_columns import columns_to_read, output_name
from airflow_sklearn.worker.prediction.schema_validator import SchemaValidator
from airflow_sklearn.worker.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_sklearn.contract.explanation import TargetExplanation
    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.plan import Piece
    from airflow_sklearn.contract.problems import Problem
    from airflow_sklearn.contract.receipt import Consumed, FeatureSketch
    from airflow_sklearn.runs.ledger import Ledger
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.data.sinks import Sink

#: What rows may have that their reader lets pass: the policy that decides, and the values that do not refuse it.
_REFUSED_BY_POLICY = {
    "unseen_level": ("unseen_levels", "count", "level"),
    "unexpected_null": ("unexpected_nulls", "count"),
    "duplicate_key": ("duplicate_keys", "count"),
    "infinite_value": ("wrong_types", "null"),
}
_ALWAYS_REFUSED = frozenset({"null_key", DOES_NOT_FIT})


@dataclass
class SliceResult:
    """The result of one process, which is pickled for its parent."""

    consumed: list[Consumed] = field(default_factory=list)
    rows_in: int = 0
    rows_quarantined: int = 0
    parts: list[OutputPart] = field(default_factory=list)
    columns: tuple[Column, ...] = ()
    quarantine: list[OutputPart] = field(default_factory=list)
    local_parts: list[str] = field(default_factory=list)
    local_keys: list[str] = field(default_factory=list)
    """Parquet files with the keys of rows that were read for further faults only."""
    problems: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()
    """Those of the problems that no policy lets pass as rows were read."""
    refused: bool = False
    """Problems that the policies do not let pass: there is no output."""
    sketches: dict[str, FeatureSketch] = field(default_factory=dict)
    prediction_counts: Counter[str] = field(default_factory=Counter)
    feature_counts: dict[str, str] = field(default_factory=dict)
    score_counts: dict[str, str] = field(default_factory=dict)
    parity: float = 0.0
    """The largest relative difference that the parity sample showed in this process."""
    key_hash: KeyHash = field(default_factory=KeyHash)
    key_log: str = ""
    timings: Timings = field(default_factory=Timings)


class SlicePredictor:
    """Predicts the pieces of one slice into one file.

    :param storage: where the source and the output are.
    :param estimator: the fitted estimator, shared with other processes by copy on write.
    :param scratch: a local folder.
    :param advance: called with the numbers of finished rows and source bytes.
    :param explanations: those of the targets, for columns of reasons.
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
        explanations: Sequence[TargetExplanation] = (),
    ) -> None:
        self._job, self._spec, self._schema = job, job.spec, manifest.feature_schema
        self._ledger, self._scratch, self._advance = ledger, scratch, advance
        self._predictor = Predictor(
            estimator,
            self._schema.features,
            [output for output in job.spec.outputs if output.reason is None],
            job.spec.batch_rows,
            pad=manifest.batch_shape == "fixed",
            filler=filler_of(manifest),
        )
        self._problems = ProblemCollector()
        self._errors = ProblemCollector()
        self._refused_kinds = refused_kinds(job)
        self._validator = SchemaValidator(self._schema, self._problems, _infinite_features(manifest))
        self._storage = storage
        self._output_columns, self._columns = columns_to_read(storage, job, manifest)
        read_types = {column.name: column.type for column in self._columns}
        found = {name: read_types[read_name] for read_name, name in self._output_columns}
        reasons = [output for output in job.spec.outputs if output.reason is not None]
        self._explainer: Explainer | None = None
        if reasons:
            filler = filler_of(manifest)
            self._explainer = Explainer(estimator, manifest, explanations, reasons, job.spec.batch_rows, filler)
        schemas = [self._predictor.schema, *([self._explainer.schema] if self._explainer else [])]
        predicted = {field.name: field.type for schema in schemas for field in schema}
        found |= {output.name: predicted[output.name] for output in job.spec.outputs}
        self._read_names = [read_name for read_name, _ in self._output_columns]
        self._output_names = [name for _, name in self._output_columns]
        self._output_types = OutputTypes(job.spec.output_types, found)
        self._predicted_columns = [(output.name, output.name) for output in job.spec.outputs]
        self._output_schema = pa.schema([(name, self._output_types.of(name, kind)) for name, kind in found.items()])
        self._known = frozenset([*(column.name for column in manifest.columns), *manifest.excluded_columns])
        edges = {output.name: score_edges(manifest, output) for output in job.spec.outputs}
        self._scores = {name: EdgeCounts(found) for name, found in edges.items() if found}
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def run(self, pieces: Sequence[Piece], name: str) -> SliceResult:
        """Predict some pieces.

        :param pieces: the pieces of the slice.
        :param name: the slice's name, for scratch files.
        """
        result = SliceResult(key_log=os.path.join(self._scratch, f"{name}.keys"))
        keys = KeyHasher(result.key_log, [column.name for column in self._schema.primary_key])
        rejects = _Rejects(os.path.join(self._scratch, f"{name}.quarantine"))
        path = os.path.join(self._scratch, f"{name}{output_ending(self._job)}")
        schema = self._output_schema
        result.columns = tuple(Column(name=field.name, arrow_type=str(field.type)) for field in schema)
        sink = open_sink(path, schema, self._spec.output_format, self._spec.output_csv)
        rows_out = 0
        refused = _Keys(os.path.join(self._scratch, f"{name}.refused.parquet"), self._key_columns(), keys)
        for batch in rebatch(self._read(pieces, rejects, refused, result), self._spec.batch_rows):
            kept = batch.select(self._read_names).rename_columns(self._output_names)
            with _Clock(self._seconds, "predict"):
                predicted = self._predict(batch)
            keys.add(kept)
            for output in self._spec.outputs:
                if output.method == "predict" and output.reason is None:
                    _count_labels(predicted, output, result.prediction_counts)
                    break
            for name, counts in self._scores.items():
                counts.add(numbers(predicted[name]))
            predicted = self._as_written(predicted, self._predicted_columns, self._job.chunk.label)
            with _Clock(self._seconds, "write"):
                sink.write(pa.Table.from_arrays([*kept.columns, *predicted.columns], schema=schema))
            rows_out += batch.num_rows
        sink.close()
        result.local_keys = refused.close()
        result.key_hash = keys.close()
        result.rows_quarantined = rejects.close()
        result.problems, result.sketches = self._problems.problems(), self._validator.sketches
        result.feature_counts = self._validator.feature_counts
        result.score_counts = {name: packed(counts.counts) for name, counts in self._scores.items()}
        result.errors = self._errors.problems()
        result.refused = self._is_refused()
        if not result.refused:
            with _Clock(self._seconds, "write"):
                result.parts = [self._upload(path, rows_out, output_ending(self._job))]
                if result.rows_quarantined:
                    result.quarantine = [self._upload(rejects.path, result.rows_quarantined, ".quarantine.parquet")]
        result.local_parts = [path]
        result.timings = Timings(**self._seconds)
        return result

    def _predict(self, batch: pa.Table) -> pa.Table:
        predicted = self._predictor(batch)
        if self._explainer is not None:
            reasons = self._explainer(batch)
            for name in reasons.column_names:
                predicted = predicted.append_column(name, reasons[name])
        return predicted.select([output.name for output in self._spec.outputs])

    def _key_columns(self) -> list[tuple[str, str]]:
        return self._output_columns[: len(self._schema.primary_key)]

    def _read(
        self, pieces: Iterable[Piece], rejects: _Rejects, refused: _Keys, result: SliceResult
    ) -> Iterator[pa.Table]:
        """Rows of all pieces. After a fault that fails the chunk, the rest is only read to find further faults."""
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
                    key=[name for name, _ in self._key_columns()],
                    ignored=self._known,
                )
                for table in rebatch(reader.blocks(), self._spec.batch_rows):
                    table = self._as_written(self._validator.check(table, uri), self._output_columns, uri)
                    self._seconds["read"] += time.perf_counter() - started
                    if not self._is_refused() and not reader.failed:
                        yield table
                    else:
                        refused.add(table)
                    self._advance(table.num_rows, reader.bytes_read - before)
                    before, started = reader.bytes_read, time.perf_counter()
                reader.finish()
            except DataError as error:
                self._errors.merge(error.problems)
                continue
            self._advance(0, reader.bytes_read - before)
            assert reader.consumed is not None
            result.consumed.append(reader.consumed)
            result.rows_in += reader.consumed.rows

    def _is_refused(self) -> bool:
        return bool(self._errors) or not self._refused_kinds.isdisjoint(self._problems.kinds)

    def _as_written(self, table: pa.Table, names: Iterable[tuple[str, str]], file: str) -> pa.Table:
        """The table with its output columns in their output types.

        :param names: pairs of a column's name in the table and its name in the output.
        """
        for name, written_name in names:
            values = table[name]
            written = self._output_types.convert(written_name, values, file=file, problems=self._problems)
            if written is not values:
                table = table.set_column(table.column_names.index(name), name, written)
        return table

    def _upload(self, path: str, rows: int, ending: str) -> OutputPart:
        sha256 = file_sha256(path)
        uri = self._ledger.part_uri(sha256, ending)
        etag = self._storage.upload(path, uri)
        return OutputPart(uri=uri, sha256=sha256, size=os.path.getsize(path), rows=rows, etag=etag)


class _Keys:
    """The keys of rows that are not predicted, so that their duplicates are found too.

    :param columns: the key's columns, by their names in the tables and in the output.
    :param log: the file object for the keys' hashes.
    """

    def __init__(self, path: str, columns: Sequence[tuple[str, str]], log: KeyHasher) -> None:
        self._path, self._columns, self._log = path, columns, log
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table) -> None:
        if not self._columns:
            return
        keys = table.select([name for name, _ in self._columns]).rename_columns([name for _, name in self._columns])
        self._log.add(keys)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, keys.schema)
        self._writer.write_table(keys)

    def close(self) -> list[str]:
        """:return: the file, if there is one."""
        if self._writer is None:
            return []
        self._writer.close()
        return [self._path]


def refused_kinds(job: PredictJob) -> frozenset[str]:
    """The kinds of problems of read rows that the job's policies forbid."""
    policies = job.spec.policies
    refused = {kind for kind, (name, *let) in _REFUSED_BY_POLICY.items() if getattr(policies, name) not in let}
    return _ALWAYS_REFUSED | refused


def output_ending(job: PredictJob) -> str:
    """The ending of the names of prediction files, such as ``.parquet``."""
    if job.spec.output_format == "parquet":
        return ".parquet"
    return ".csv" + {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2"}.get(job.spec.output_csv.compression, "")


def _infinite_features(manifest: ModelManifest) -> list[str]:
    """Features with infinite values in training: some rows are neither null nor in the distribution."""
    rows = manifest.source.rows_used
    return [
        feature.name
        for feature in manifest.feature_schema.features
        if feature.kind == "numeric" and feature.null_count + sum(feature.distribution.counts) < rows
    ]


def _count_labels(predicted: pa.Table, output: Any, counts: Counter[str]) -> None:
    if output.arrow_type != "double":
        for pair in pc.value_counts(predicted[output.name]).to_pylist():
            counts[str(pair["values"])] += pair["counts"]


class _Rejects:
    """Rows that are set aside, as text with the reason, in a Parquet file that is made when it is first needed."""

    def __init__(self, path: str) -> None:
        self.path, self._rows = path, 0
        self._sink: Sink | None = None

    def add(self, table: pa.Table) -> None:
        names = [output_name(name) for name in table.column_names]
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
