"""Making the plan of a prediction run: the model is pinned, the source listed, the chunks cut. Nothing is computed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_sklearn.chunking import make_chunks
from airflow_sklearn.contract.plan import Plan, PredictionSpec
from airflow_sklearn.contract.schema import Policies
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.ledger import Ledger
from airflow_sklearn.model_store import resolve_model
from airflow_sklearn.storage import join
from airflow_sklearn.storage.uris import pattern_regex, split_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.data import OutputFiles, SourceFiles
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Method, OutputColumn
    from airflow_sklearn.storage import Storage

LEDGER_FOLDER = "_airflow_sklearn"
DEFAULT_CHUNK_SIZE = 64_000_000  # bytes
DEFAULT_MAX_CHUNKS = 256  # a few hundred mapped tasks are what Airflow's scheduler bears well

_PREFERENCE: tuple[Method, ...] = ("predict_proba", "predict", "decision_function")


def make_plan(
    storage: Storage,
    *,
    model: str | Mapping[str, Any],
    source: SourceFiles,
    destination: OutputFiles,
    partition: str,
    method: str = "auto",
    passthrough: Sequence[str] = (),
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    max_chunks: int = DEFAULT_MAX_CHUNKS,
    policies: Mapping[str, str] | None = None,
    ledger: str | None = None,
) -> tuple[Plan, str]:
    """Plan one prediction run and store the plan in its ledger.

    :param model: a model's URI (its latest version is pinned), a manifest's URI, or what training returned.
    :param partition: the folder below the destination that this run fills, and replaces when it is run again.
    :param method: ``auto`` (``predict_proba`` where the model has it, else ``predict``) or an estimator's method.
    :param passthrough: columns of the source that are carried into every row of predictions.
    :param chunk_size: bytes of source a chunk, about; grows when there would be more than ``max_chunks``.
    :param policies: overrides of the model's ``Policies``, by name.
    :param ledger: the folder for ledgers; default: ``_airflow_sklearn/`` below the destination.
    :return: the plan, and the URI it is stored at.
    :raises UserError: what was asked for contradicts the model; every contradiction is named.
    """
    manifest, manifest_uri, manifest_sha256 = resolve_model(storage, model)
    chosen, outputs = _outputs(manifest, method)
    partition = partition.strip("/")
    faults = [
        *_name_faults(manifest, outputs, passthrough),
        *_partition_faults(partition),
        *_place_faults(source, destination, partition, ledger),
    ]
    if chunk_size < 1 or max_chunks < 1:
        faults.append(f"chunk_size ({chunk_size}) and max_chunks ({max_chunks}) must be at least 1")
    if faults:
        raise UserError("The prediction cannot be planned:\n" + "\n".join(f"  - {fault}" for fault in faults))
    spec = PredictionSpec(
        model_manifest_uri=manifest_uri,
        model_manifest_sha256=manifest_sha256,
        method=chosen,
        outputs=outputs,
        primary_key=manifest.feature_schema.primary_key,
        passthrough=tuple(passthrough),
        source=source,
        output_format=destination.file_format,
        output_csv=destination.csv,
        batch_rows=manifest.batch_rows,
        policies=_merge_policies(manifest.feature_schema.policies, policies or {}),
    )
    objects = storage.expand(source.uris, allow_empty=True)
    fingerprint = Plan.make_fingerprint(spec, objects)
    folder = join(ledger or join(destination.uri, LEDGER_FOLDER), fingerprint[:32])
    plan = Plan(
        spec=spec,
        objects=objects,
        chunks=make_chunks(storage, source, objects, chunk_size=chunk_size, max_chunks=max_chunks),
        fingerprint=fingerprint,
        ledger=folder,
        destination=destination,
        partition=partition,
    )
    return plan, Ledger(storage, folder).write_plan(plan)


def _outputs(manifest: ModelManifest, method: str) -> tuple[Method, tuple[OutputColumn, ...]]:
    available = [name for name in _PREFERENCE if name in manifest.methods]
    chosen = available[0] if method == "auto" else next((name for name in available if name == method), None)
    if chosen is None:
        raise UserError(
            f"The model {manifest.model} ({manifest.estimator_class}) has no method {method!r}; "
            f"it has {', '.join(available)}. Choose one of these, or 'auto'."
        )
    return chosen, tuple(output for output in manifest.parity.outputs if output.method == chosen)


def _merge_policies(trained: Policies, overrides: Mapping[str, str]) -> Policies:
    try:
        return Policies.model_validate({**trained.model_dump(), **overrides})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(
            f"The policies {dict(overrides)} are not valid: {faults}. Policies are {', '.join(Policies.model_fields)}."
        ) from None


def _name_faults(manifest: ModelManifest, outputs: Sequence[OutputColumn], passthrough: Sequence[str]) -> list[str]:
    key = [column.name for column in manifest.feature_schema.primary_key]
    names = [*key, *passthrough, *(output.name for output in outputs)]
    return [
        f"the column {name!r} would be written twice: leave it out of passthrough"
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


def _place_faults(source: SourceFiles, destination: OutputFiles, partition: str, ledger: str | None) -> list[str]:
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
    if ledger and split_scheme(ledger)[0] != split_scheme(destination.uri)[0]:
        faults.append(f"the ledger {ledger} is in another kind of storage than the destination {destination.uri}")
    return faults
