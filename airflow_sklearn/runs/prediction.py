"""Making the plan of a prediction run: pin the model, list the source, cut the chunks. Nothing is computed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.arguments import merge_policies
from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.plan import Plan, PredictionSpec
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.tables import OutputTable
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.chunking import make_chunks
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.model_store import resolve_model
from airflow_sklearn.runs.source_columns import column_faults
from airflow_sklearn.runs.table_formats import refuse_table_formats
from airflow_sklearn.storage import join
from airflow_sklearn.storage.uris import pattern_regex, split_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Method, OutputColumn, Policies
    from airflow_sklearn.contract.tables import OutputColumnSpec, Snapshot
    from airflow_sklearn.storage import Storage

LEDGER_FOLDER = "_airflow_sklearn"
DEFAULT_CHUNK_SIZE = 64_000_000  # bytes
DEFAULT_MAX_CHUNKS = 256  # Airflow's scheduler handles a few hundred mapped tasks well

_PREFERENCE: tuple[Method, ...] = ("predict_proba", "predict", "decision_function")


@dataclass(frozen=True)
class Draft:
    """A prediction run before its source is known: the pinned model, the request, and the faults found so far.

    :param faults: why the run cannot be planned; empty if it can.
    """

    manifest: ModelManifest
    manifest_uri: str
    manifest_sha256: str
    method: Method
    outputs: tuple[OutputColumn, ...]
    passthrough: tuple[str, ...]
    policies: Policies
    destination: OutputFiles | OutputTable
    partition: str
    ledger: str | None
    faults: tuple[str, ...]

    def check(self, further: Sequence[str] = ()) -> None:
        """Refuse a run that cannot be planned.

        :param further: faults found later.
        :raises UserError: there are faults; the message lists all of them.
        """
        if faults := [*self.faults, *further]:
            raise UserError("The prediction cannot be planned:\n" + "\n".join(f"  - {fault}" for fault in faults))


def draft_plan(
    storage: Storage,
    *,
    model: str | Mapping[str, Any],
    destination: OutputFiles | OutputTable,
    partition: str,
    method: str = "auto",
    passthrough: Sequence[str] = (),
    policies: Mapping[str, str] | None = None,
    ledger: str | None = None,
) -> Draft:
    """Check a request for a run as far as that is possible without its source.

    :param storage: where the model is.
    :param model: a model's URI (its latest version is pinned), a manifest's URI, or the result of training.
    :param destination: where the predictions go.
    :param partition: for files, the folder below the destination that this run fills, and replaces when it runs again.
        For a table, the name of the rows that this run owns.
    :param method: ``auto`` (``predict_proba`` if the model has it, else ``predict``) or the name of an estimator's
        method.
    :param passthrough: columns of the source that are copied into each row of predictions.
    :param policies: values that override the model's ``Policies``, by name.
    :param ledger: the folder for ledgers; None: ``_airflow_sklearn/`` below the destination.
    :raises UserError: the model lacks the method, or there is no such policy.
    """
    manifest, manifest_uri, manifest_sha256 = resolve_model(storage, model)
    chosen, outputs = _outputs(manifest, method)
    faults = _name_faults(manifest, outputs, passthrough)
    if isinstance(destination, OutputFiles):
        partition = partition.strip("/")
        faults += _partition_faults(partition)
        if ledger and split_scheme(ledger)[0] != split_scheme(destination.uri)[0]:
            faults.append(f"the ledger {ledger} is in another kind of storage than the destination {destination.uri}")
    return Draft(
        manifest=manifest,
        manifest_uri=manifest_uri,
        manifest_sha256=manifest_sha256,
        method=chosen,
        outputs=outputs,
        passthrough=tuple(passthrough),
        policies=merge_policies(policies, manifest.feature_schema.policies),
        destination=destination,
        partition=partition,
        ledger=ledger,
        faults=tuple(faults),
    )


def make_plan(
    storage: Storage,
    *,
    source: SourceFiles,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
    planned: Planned | None = None,
    look_at_columns: bool = True,
    **asked: Any,
) -> tuple[Plan, str]:
    """Draft and finish a plan over files in one call.

    :param asked: the parameters of ``draft_plan``. The others are those of ``finish_plan``.
    :return: the plan, and its URI.
    :raises UserError: see ``draft_plan`` and ``finish_plan``.
    """
    return finish_plan(
        storage,
        draft_plan(storage, **asked),
        source,
        chunk_size=chunk_size,
        max_chunks=max_chunks,
        planned=planned,
        look_at_columns=look_at_columns,
    )


def finish_plan(
    storage: Storage,
    draft: Draft,
    source: SourceFiles,
    *,
    snapshot: Snapshot | None = None,
    table_columns: Sequence[OutputColumnSpec] = (),
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
    planned: Planned | None = None,
    look_at_columns: bool = True,
) -> tuple[Plan, str]:
    """Plan one prediction run, and store the plan in its ledger.

    :param storage: where the source and the ledger are.
    :param draft: the result of ``draft_plan``.
    :param source: the files to predict.
    :param snapshot: the state of the table that the source was unloaded from; None: the source is files.
    :param table_columns: the columns of the parts, in order, if the destination is a table.
    :param chunk_size: the approximate bytes of source in a chunk. It grows if there would be more than ``max_chunks``.
    :param max_chunks: the largest number of chunks.
    :param planned: the time of planning and the task; None: now, by no task.
    :param look_at_columns: look for missing columns in a few of the source's files.
    :return: the plan, and its URI.
    :raises UserError: the request contradicts the model or the source; the message lists all contradictions.
    """
    destination, source = draft.destination, source.for_model_of(draft.manifest.source.files)
    faults = _place_faults(source, destination, draft.partition) if isinstance(destination, OutputFiles) else []
    if chunk_size < 1 or max_chunks < 1:
        faults.append(f"chunk_size ({chunk_size}) and max_chunks ({max_chunks}) must be at least 1")
    objects = storage.expand(source.uris, allow_empty=True)
    if snapshot is None:
        refuse_table_formats(storage, source, objects)
    if look_at_columns and snapshot is None:  # unloaded files have the requested columns
        faults += column_faults(storage, source, objects, _needed_columns(draft))
    draft.check(faults)
    spec = PredictionSpec(
        model_manifest_uri=draft.manifest_uri,
        model_manifest_sha256=draft.manifest_sha256,
        method=draft.method,
        outputs=draft.outputs,
        primary_key=draft.manifest.feature_schema.primary_key,
        passthrough=draft.passthrough,
        output_types={column.name: column.arrow_type for column in table_columns},
        source=source,
        **({} if isinstance(destination, OutputTable) else _output_options(destination)),
        batch_rows=draft.manifest.batch_rows,
        policies=draft.policies,
    )
    fingerprint = Plan.make_fingerprint(spec, objects)
    folder = join(draft.ledger or join(destination.ledger_root, LEDGER_FOLDER), fingerprint[:32])
    plan = Plan(
        spec=spec,
        objects=objects,
        chunks=make_chunks(storage, source, objects, chunk_size=chunk_size, max_chunks=max_chunks),
        fingerprint=fingerprint,
        ledger=folder,
        destination=destination,
        partition=draft.partition,
        table_columns=tuple(table_columns),
        snapshot=snapshot,
        planned=planned or Planned.now(),
    )
    return plan, Ledger(storage, folder).write_plan(plan)


def _needed_columns(draft: Draft) -> dict[str, str]:
    """The columns that the run needs, each with its purpose."""
    schema = draft.manifest.feature_schema
    features = (
        tuple(feature.name for feature in schema.used_features) if draft.policies.missing_columns == "error" else ()
    )
    return {
        **dict.fromkeys(features, "feature"),
        **dict.fromkeys(draft.passthrough, "passthrough"),
        **dict.fromkeys((column.name for column in schema.primary_key), "primary key"),
    }


def _output_options(destination: OutputFiles) -> dict[str, Any]:
    return {"output_format": destination.file_format, "output_csv": destination.csv}


def _outputs(manifest: ModelManifest, method: str) -> tuple[Method, tuple[OutputColumn, ...]]:
    available = [name for name in _PREFERENCE if name in manifest.methods]
    chosen = available[0] if method == "auto" else next((name for name in available if name == method), None)
    if chosen is None:
        raise UserError(
            f"The model {manifest.model} ({manifest.estimator_class}) has no method {method!r}; "
            f"it has {', '.join(available)}. Choose one of these, or 'auto'."
        )
    return chosen, tuple(output for output in manifest.parity.outputs if output.method == chosen)


def _name_faults(manifest: ModelManifest, outputs: Sequence[OutputColumn], passthrough: Sequence[str]) -> list[str]:
    key = [column.name for column in manifest.feature_schema.primary_key]
    names = [*key, *passthrough, *(output.name for output in outputs)]
    return [
        f"the column {name!r} would be written twice: "
        + ("leave it out of passthrough" if name in passthrough else "rename the key, and train again")
        for name in sorted({n for n in names if names.count(n) > 1})
    ]


def _partition_faults(partition: str) -> list[str]:
    parts = partition.split("/")
    if not partition:
        return ["the partition is empty: give one, such as 'date={{ ds }}'"]
    if any(not part or part.startswith((".", "_")) or re.search(r"[\x00-\x1f\x7f\\*?\[\]]", part) for part in parts):
        return [
            f"the partition {partition!r} is not a safe path: no part may be empty, start with '.' or '_', "
            "or hold \\ * ? [ ]"
        ]
    return []


def _place_faults(source: SourceFiles, destination: OutputFiles, partition: str) -> list[str]:
    root = join(destination.uri, "")
    published = join(destination.uri, partition, f"part-00000-{'0' * 16}.{destination.file_format}")
    faults = []
    for uri in source.uris:
        if uri.startswith(root):
            faults.append(f"the source {uri} lies below the destination {destination.uri}")
        elif published.startswith(uri) if uri.endswith("/") else pattern_regex(uri).fullmatch(published):
            faults.append(
                f"the destination {destination.uri} lies below the source {uri}: the next run would read this run's "
                "predictions. Write elsewhere, or name the source more narrowly"
            )
    return faults
