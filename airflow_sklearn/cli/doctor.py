"""``airflow-sklearn doctor``: says what will fail before it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from airflow_sklearn.cli.access import aws_access, storage_by
from airflow_sklearn.cli.answer import Answer, Rows
from airflow_sklearn.cli.options import AsJson, AwsConnId, Python

if TYPE_CHECKING:
    from airflow_sklearn.cli.checks import Check

Texts = list[str] | None


def doctor(
    model: Annotated[str | None, typer.Option(help="A model: it is whole, and fits the software here.")] = None,
    source: Annotated[Texts, typer.Option(help="A source that will be read. Repeatable.")] = None,
    destination: Annotated[Texts, typer.Option(help="A folder that will be written. Repeatable.")] = None,
    cluster: Annotated[str | None, typer.Option(help="An ECS cluster.")] = None,
    task_definition: Annotated[str | None, typer.Option(help="Its task definition: image, roles, log.")] = None,
    region: Annotated[str | None, typer.Option(help="Of the cluster. Default: the connection's.")] = None,
    python: Python = None,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Check software, credentials, rights, buckets, image and versions, and say what to do. 1: something will fail."""
    from airflow_sklearn.cli import checks
    from airflow_sklearn.storage import use_aws
    from airflow_sklearn.storage.uris import place_uri, source_uris

    storage = storage_by(aws_conn_id)
    sources, targets = [source_uris(one) for one in source or ()], [place_uri(one) for one in destination or ()]
    places = [*sources, *targets, *([place_uri(model)] if model else [])]
    done: list[Check] = [*checks.of_software(), *checks.of_machine()]
    if aws_conn_id or cluster or task_definition or use_aws(places):
        done += checks.of_connection(aws_conn_id)
    for uri in sources:
        done += checks.of_readable(storage, "source", uri)
    for uri in targets:
        done += checks.of_writable(storage, "destination", uri)
    manifest = None
    if model:
        found, manifest = checks.find_model(storage, place_uri(model))
        done += found
        if manifest:
            done += checks.of_model(storage, manifest, python)
    if cluster or task_definition:
        done += checks.of_ecs(aws_access(aws_conn_id), cluster, task_definition, region, manifest)
    return _answer(done)


def _answer(done: list[Check]) -> Answer:
    from dataclasses import asdict

    counts = {status: sum(one.status == status for one in done) for status in ("ok", "warn", "fail")}
    rows = [(one.status, one.name, one.message) for one in done]
    fixes = [f"{one.status}: {one.name}: {one.fix}" for one in done if one.fix]
    last = f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} will fail"
    shown = [Rows(("", "what", "found"), rows), *fixes, last]
    return Answer({**counts, "checks": [asdict(one) for one in done]}, shown, 1 if counts["fail"] else 0)
