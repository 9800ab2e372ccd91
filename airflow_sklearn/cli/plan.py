"""``airflow-sklearn plan``: what a prediction would do. Nothing is computed, and nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.cli import prediction
from airflow_sklearn.cli.access import storage_by
from airflow_sklearn.cli.answer import Answer, Rows
from airflow_sklearn.cli.options import AsJson, AwsConnId, Settings, arguments

if TYPE_CHECKING:
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.datasets.base import Destination
    from airflow_sklearn.storage import Storage

_SHOWN = 20  # chunks
_FOOTERS = 100  # of Parquet files, by which the rows of more files are estimated
_HEAD = 1 << 18  # bytes of a CSV file by which its rows are estimated


def plan(
    model: prediction.Model = None,
    source: prediction.Source = None,
    destination: prediction.To = None,
    partition: prediction.Partition = None,
    method: prediction.Method = None,
    outputs: prediction.Outputs = None,
    targets: prediction.Targets = None,
    explain: prediction.Explain = None,
    primary_key: prediction.Key = None,
    passthrough: prediction.Passthrough = None,
    chunk_size: prediction.ChunkSize = None,
    max_chunks: prediction.MaxChunks = None,
    policies: prediction.Policies = None,
    ledger: prediction.LedgerFolder = None,
    settings: Settings = None,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Show what a prediction would do: chunks, rows and columns. Nothing is computed or stored."""
    given = prediction.given_options(
        model=model,
        source=source,
        destination=destination,
        partition=partition,
        method=method,
        outputs=outputs,
        targets=targets,
        explain=explain,
        primary_key=primary_key,
        passthrough=passthrough,
        chunk_size=chunk_size,
        max_chunks=max_chunks,
        policies=policies,
        ledger=ledger,
    )
    asked = arguments(settings, given, prediction.REQUIRED, "plan")
    storage = storage_by(aws_conn_id)
    made, _, to = prediction.make_plan(storage, asked, store=False)
    return _answer(storage, made, to)


def _answer(storage: Storage, plan: Plan, destination: Destination) -> Answer:
    from airflow_sklearn.contract.faults import counted
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.sizes import shown_bytes
    from airflow_sklearn.runs.ledger import Ledger

    manifest_uri = plan.spec.model_manifest_uri
    manifest = ModelManifest.from_json(storage.read(manifest_uri), where=manifest_uri)
    rows, exact = _rows_of(storage, plan)
    done = Ledger(storage, plan.ledger).read_receipts(plan)
    speed = manifest.performance.predict_rows_per_second
    size = sum(obj.size for obj in plan.objects)
    columns = [*(column.name for column in plan.spec.primary_key), *plan.spec.passthrough]
    columns += [output.name for output in plan.spec.outputs]
    document: dict[str, Any] = {
        "model": manifest.model,
        "version": manifest.version,
        "method": plan.spec.method,
        "objects": len(plan.objects),
        "bytes": size,
        "rows": rows,
        "rows_are_exact": exact,
        "chunks": [
            {"id": chunk.id, "label": chunk.label, "bytes": chunk.size, "done": chunk.id in done}
            for chunk in plan.chunks
        ],
        "chunks_done": len(done),
        "columns_checked": list(manifest.feature_schema.feature_names),
        "output_columns": columns,
        "destination": destination.place(plan.partition),
        "partition": plan.partition,
        "ledger": plan.ledger,
        "processor_seconds": rows / speed if rows and speed else None,
    }
    about = "" if exact else "about "
    counted_rows = "" if rows is None else f", {about}{counted(rows, 'row')}"
    lines = [
        f"Model: {manifest.model}, version {manifest.version}, method {plan.spec.method}",
        f"Source: {counted(len(plan.objects), 'object')}, {shown_bytes(size)}{counted_rows}",
        f"Columns: the source has all {counted(len(manifest.feature_schema.features), 'feature')}, as far as "
        "beginnings of files tell",
        f"Output: {document['destination']} with {', '.join(columns)}",
    ]
    if document["processor_seconds"]:
        lines.append(f"Time: about {document['processor_seconds']:,.0f} s on one core, without reading and writing")
    shown = [(chunk.label, shown_bytes(chunk.size), "yes" if chunk.id in done else "") for chunk in plan.chunks]
    more = len(shown) - _SHOWN
    notes = [f"and {counted(more, 'more chunk')}"] if more > 0 else []
    title = f"{counted(len(shown), 'chunk')}, of which {len(done)} computed before"
    return Answer(document, [*lines, Rows(("chunk", ">size", "done"), shown[:_SHOWN], title, notes)])


def _rows_of(storage: Storage, plan: Plan) -> tuple[int | None, bool]:
    """The number of rows, and whether it is exact. None: it is not known before files are read."""
    files = plan.spec.source
    if not plan.objects:
        return 0, True
    if files.file_format == "csv":
        first = plan.objects[0]
        if any(files.csv.compression_of(obj.uri) != "none" for obj in plan.objects) or not first.size:
            return None, False
        head = storage.read(first.uri, end=min(_HEAD, first.size), etag=first.etag)
        lines = max(1, head.count(b"\n"))
        headers = len(plan.objects) if files.csv.header else 0
        size = sum(obj.size for obj in plan.objects)
        return max(0, round(size * lines / len(head)) - headers), False
    try:
        from airflow_sklearn.worker.data.parquet.file import read_footer
    except ImportError:  # pyarrow is the worker's
        return None, False
    read = plan.objects[:_FOOTERS]
    rows = sum(read_footer(storage, obj).metadata.num_rows for obj in read)
    if len(read) == len(plan.objects):
        return rows, True
    return round(rows * sum(obj.size for obj in plan.objects) / sum(obj.size for obj in read)), False
