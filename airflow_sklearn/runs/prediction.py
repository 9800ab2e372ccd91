"""Making the plan of a prediction run: pin the model, list the source, cut the chunks. Nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.arguments import merge_policies
from airflow_sklearn.contract.plan import Plan, PredictionSpec
from airflow_sklearn.contract.planned import Planned
from airflow_sklearn.contract.schema import Column
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.chunking import make_chunks
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.model_store import resolve_model
from airflow_sklearn.runs.outputs import choose_outputs, reason_columns
from airflow_sklearn.runs.source_columns import column_faults
from airflow_sklearn.runs.table_formats import refuse_table_formats
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import FeatureSchema, Method, OutputColumn, Policies
    from airflow_sklearn.contract.tables import AnyOutput, OutputColumnSpec, Snapshot
    from airflow_sklearn.storage import Storage

LEDGER_FOLDER = "_airflow_sklearn"
DEFAULT_CHUNK_SIZE = 64_000_000  # bytes
DEFAULT_MAX_CHUNKS = 256  # Airflow's scheduler handles a few hundred mapped tasks well


@dataclass(frozen=True)
class UnresolvedPlan:
    """A prediction run before its source is known: the pinned model, the request, and the faults found so far.

    :param faults: why the run cannot be planned; empty if it can.
    """

    manifest: ModelManifest
    manifest_uri: str
    manifest_sha256: str
    method: Method
    outputs: tuple[OutputColumn, ...]
    primary_key: tuple[Column, ...]
    passthrough: tuple[str, ...]
    policies: Policies
    destination: AnyOutput
    partition: str
    ledger: str | None
    faults: tuple[str, ...]

    @property
    def schema(self) -> FeatureSchema:
        """The model's feature schema, with the primary key of this run."""
        return self.manifest.feature_schema.model_copy(update={"primary_key": self.primary_key})

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
    destination: AnyOutput,
    partition: str,
    method: str = "auto",
    outputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    explain: int = 0,
    primary_key: Sequence[str] | None = None,
    passthrough: Sequence[str] = (),
    policies: Mapping[str, str] | None = None,
    ledger: str | None = None,
    faults: Sequence[str] = (),
) -> UnresolvedPlan:
    """Check a request for a run as far as that is possible without its source.

    :param storage: where the model is.
    :param model: a model's URI (its latest version is pinned), a manifest's URI, or the result of training.
    :param destination: where the predictions go.
    :param partition: the name of the rows that this run publishes, as the destination spells it.
    :param method: ``auto`` (``predict_proba`` if the model has it, else ``predict``) or the name of an estimator's
        method.
    :param outputs: the columns of predictions; see ``choose_outputs``. Empty: all of the method.
    :param targets: the targets to predict; empty: all of the model.
    :param explain: the number of features that explain each row; 0: none.
    :param primary_key: the columns that identify a row; empty: none; None: those of training.
    :param passthrough: columns of the source that are copied into each row of predictions.
    :param policies: values that override the model's ``Policies``, by name.
    :param ledger: the folder for ledgers; None: ``_airflow_sklearn/`` below the destination.
    :param faults: why the destination refuses the request.
    :raises UserError: the model lacks the method, or there is no such policy.
    """
    manifest, manifest_uri, manifest_sha256 = resolve_model(storage, model)
    chosen, columns = choose_outputs(manifest, method, outputs, targets)
    columns += reason_columns(manifest, columns, explain)
    key = _key_columns(manifest, primary_key)
    return UnresolvedPlan(
        manifest=manifest,
        manifest_uri=manifest_uri,
        manifest_sha256=manifest_sha256,
        method=chosen,
        outputs=columns,
        primary_key=key,
        passthrough=tuple(passthrough),
        policies=merge_policies(policies, manifest.feature_schema.policies),
        destination=destination,
        partition=partition,
        ledger=ledger,
        faults=(*_name_faults(key, columns, passthrough), *faults),
    )


def finish_plan(
    storage: Storage,
    unresolved: UnresolvedPlan,
    source: SourceFiles,
    *,
    snapshot: Snapshot | None = None,
    table_columns: Sequence[OutputColumnSpec] = (),
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
    planned: Planned | None = None,
    trusted_types: Sequence[str] = (),
    look_at_columns: bool = True,
    faults: Sequence[str] = (),
    store: bool = True,
) -> tuple[Plan, str]:
    """Plan one prediction run, and store the plan in its ledger.

    :param storage: where the source and the ledger are.
    :param unresolved: the result of ``draft_plan``.
    :param source: the files to predict.
    :param snapshot: the state of the table that the source was unloaded from; None: the source is files.
    :param table_columns: the columns of the parts, in order, if the destination is a table.
    :param chunk_size: the approximate bytes of source in a chunk. It grows if there would be more than ``max_chunks``.
    :param max_chunks: the largest number of chunks.
    :param planned: the time of planning and the task; None: now, by no task.
    :param trusted_types: the types that a model in the format skops may contain.
    :param look_at_columns: look for missing columns in a few of the source's files.
    :param faults: faults of the source and the destination that are known already.
    :param store: False: a dry run, which stores nothing and has no URI.
    :return: the plan, and its URI.
    :raises UserError: the request contradicts the model or the source; the message lists all contradictions.
    """
    destination, source, faults = (
        unresolved.destination,
        source.for_model_of(unresolved.manifest.source.files),
        [*faults],
    )
    if chunk_size < 1 or max_chunks < 1:
        faults.append(f"chunk_size ({chunk_size}) and max_chunks ({max_chunks}) must be at least 1")
    objects = storage.expand(source.uris, allow_empty=True)
    if snapshot is None:
        refuse_table_formats(storage, source, objects)
    if look_at_columns and snapshot is None:  # unloaded files have the requested columns
        faults += column_faults(storage, source, objects, _needed_columns(unresolved))
    unresolved.check(faults)
    spec = PredictionSpec(
        model_manifest_uri=unresolved.manifest_uri,
        model_manifest_sha256=unresolved.manifest_sha256,
        method=unresolved.method,
        outputs=unresolved.outputs,
        primary_key=unresolved.primary_key,
        passthrough=unresolved.passthrough,
        output_types={column.name: column.arrow_type for column in table_columns},
        source=source,
        output_format=destination.part_format,
        output_csv=destination.part_csv,
        batch_rows=unresolved.manifest.batch_rows,
        policies=unresolved.policies,
        trusted_types=tuple(trusted_types) if unresolved.manifest.artifact.serializer == "skops" else (),
    )
    fingerprint = Plan.make_fingerprint(spec, objects)
    folder = join(unresolved.ledger or join(destination.ledger_root, LEDGER_FOLDER), fingerprint[:32])
    plan = Plan(
        spec=spec,
        objects=objects,
        chunks=make_chunks(storage, source, objects, chunk_size=chunk_size, max_chunks=max_chunks),
        fingerprint=fingerprint,
        ledger=folder,
        destination=destination,
        partition=unresolved.partition,
        table_columns=tuple(table_columns),
        snapshot=snapshot,
        planned=planned or Planned.now(),
    )
    return plan, Ledger(storage, folder).write_plan(plan) if store else ""


def _needed_columns(unresolved: UnresolvedPlan) -> dict[str, str]:
    """The columns that the run needs, each with its purpose."""
    schema = unresolved.schema
    features = (
        tuple(feature.name for feature in schema.used_features)
        if unresolved.policies.missing_columns == "error"
        else ()
    )
    return {
        **dict.fromkeys(features, "feature"),
        **dict.fromkeys(unresolved.passthrough, "passthrough"),
        **dict.fromkeys((column.name for column in schema.primary_key), "primary key"),
    }


def _key_columns(manifest: ModelManifest, asked: Sequence[str] | None) -> tuple[Column, ...]:
    """The key's columns, with their types as far as training knew them."""
    trained = manifest.feature_schema.primary_key
    if asked is None:
        return trained
    known = {column.name: column for column in (*manifest.columns, *trained)}
    return tuple(known.get(name, Column(name=name, arrow_type="")) for name in asked)


def _name_faults(key: Sequence[Column], outputs: Sequence[OutputColumn], passthrough: Sequence[str]) -> list[str]:
    names = [*(column.name for column in key), *passthrough, *(output.name for output in outputs)]
    return [
        f"the column {name!r} would be written twice: "
        + ("leave it out of passthrough" if name in passthrough else "rename it in the source, or choose another key")
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
