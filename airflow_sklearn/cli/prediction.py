"""What ``plan`` and ``predict`` share: the arguments of ``SklearnPlanOperator`` as options, and the plan itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_sklearn.cli.options import mapping, one_or_list

if TYPE_CHECKING:
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.datasets.base import Destination
    from airflow_sklearn.storage import Storage

Model = Annotated[str | None, typer.Option(help="A model's URI or path (its latest version), or a manifest's.")]
Source = Annotated[list[str] | None, typer.Option(help="Rows to predict: a URI, path, glob or folder/. Repeatable.")]
To = Annotated[str | None, typer.Option("--destination", help="The folder that predictions go to.")]
Partition = Annotated[str | None, typer.Option(help="The folder below the destination that the run fills. [all]")]
Method = Annotated[str | None, typer.Option(help="auto, predict, predict_proba, decision_function, ... [auto]")]
Outputs = Annotated[list[str] | None, typer.Option(help="Columns instead of the method's: proba:yes. Repeatable.")]
Targets = Annotated[list[str] | None, typer.Option(help="Targets of a model with several. Repeatable.")]
Explain = Annotated[int | None, typer.Option(help="Add so many reasons to each row.")]
Key = Annotated[list[str] | None, typer.Option("--primary-key", help="Columns that identify a row. Repeatable.")]
Passthrough = Annotated[list[str] | None, typer.Option(help="Columns to copy into the output. Repeatable.")]
ChunkSize = Annotated[str | None, typer.Option(help="Approximate source in a chunk, such as 64MB. [64MB]")]
MaxChunks = Annotated[int | None, typer.Option(min=1, help="The most chunks; they grow if there would be more. [256]")]
Policies = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="unseen_levels=error. Repeatable.")]
LedgerFolder = Annotated[str | None, typer.Option("--ledger", help="Where plans and receipts go.")]

REQUIRED = ("model", "source", "destination")
_LISTS = ("source", "outputs", "targets", "primary_key", "passthrough")


def given_options(**options: Any) -> dict[str, Any]:
    """The options of the command line as the operator's arguments."""
    lists = {name: one_or_list(options[name] or ()) for name in _LISTS}
    return {**options, **lists, "policies": mapping("policies", options["policies"] or ())}


def make_plan(storage: Storage, asked: dict[str, Any], *, store: bool) -> tuple[Plan, str, Destination]:
    """Plan a run over files, as the plan task does.

    :param asked: the operator's arguments.
    :param store: False: a dry run, which stores nothing.
    :return: the plan, its URI, and its destination.
    :raises UserError: the request contradicts the model or the source; the message lists all contradictions.
    """
    from airflow_sklearn.contract.arguments import check_all, check_count, check_prediction, column_names
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.contract.planned import Planned
    from airflow_sklearn.contract.sizes import to_bytes
    from airflow_sklearn.datasets.base import Attempt
    from airflow_sklearn.datasets.planning import plan_prediction
    from airflow_sklearn.datasets.registry import as_destination, as_source
    from airflow_sklearn.exceptions import PublicationRefusedError, UserError
    from airflow_sklearn.runs.prediction import DEFAULT_CHUNK_SIZE, DEFAULT_MAX_CHUNKS
    from airflow_sklearn.storage.uris import place_uri, source_uris

    asked = {**_DEFAULTS, "chunk_size": DEFAULT_CHUNK_SIZE, "max_chunks": DEFAULT_MAX_CHUNKS, **asked}
    check_all(
        lambda: check_prediction(asked),
        lambda: to_bytes(asked["chunk_size"]),
        lambda: check_count("max_chunks", asked["max_chunks"], 1),
    )
    source, model, to = as_source(source_uris(asked["source"])), asked["model"], asked["destination"]
    if not source.is_in_place:
        raise UserError("The command predicts files. Tables of Redshift are predicted by the operators in a DAG.")
    destination = as_destination(place_uri(to) if isinstance(to, str) else source_uris(to))
    attempt = Attempt(storage, JobIdentity())
    plan, uri = plan_prediction(
        attempt,
        source,
        destination,
        model=place_uri(model) if isinstance(model, str) else model,
        partition=destination.partition(asked["partition"], "all"),
        method=asked["method"],
        outputs=column_names(asked["outputs"]),
        targets=column_names(asked["targets"]),
        explain=asked["explain"],
        primary_key=None if asked["primary_key"] is None else column_names(asked["primary_key"]),
        passthrough=column_names(asked["passthrough"]),
        policies=asked["policies"],
        ledger=place_uri(asked["ledger"]) if asked["ledger"] else None,
        chunk_size=to_bytes(asked["chunk_size"]),
        finish={
            "max_chunks": asked["max_chunks"],
            "planned": Planned.now(),
            "store": store,
        },
    )
    for fault in destination.replacement_faults(attempt, plan):
        raise PublicationRefusedError(fault)
    return plan, uri, destination


_DEFAULTS: dict[str, Any] = {
    "partition": "all",
    "method": "auto",
    "outputs": (),
    "targets": (),
    "explain": 0,
    "primary_key": None,
    "passthrough": (),
    "policies": None,
    "ledger": None,
}
