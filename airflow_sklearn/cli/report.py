"""``airflow-sklearn report``: write or open the page of a model, of several that are compared, or of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_sklearn.cli.access import storage_by, uris
from airflow_sklearn.cli.answer import Answer
from airflow_sklearn.cli.options import AsJson, AwsConnId

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage


def report(
    what: Annotated[list[str], typer.Argument(help="A model, several models to compare, or a run.")],
    metric: Annotated[str | None, typer.Option(help="Of a comparison: the metric to rank by.")] = None,
    target: Annotated[str, typer.Option(help="Of a comparison: the target, of models with several.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write the page to this file too.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Write the page of a model beside it, of several below the best one, or of a run into its ledger."""
    storage, places = storage_by(aws_conn_id), uris(what)
    page = _page(storage, places, metric, target)
    path = _local_file(storage, page, output, needed=open_it)
    if open_it:
        typer.launch(str(path))
    document = {"page": page, "file": str(path) if path else None}
    return Answer(document, [f"The page is {page}", *([f"A copy is {output}"] if output else [])])


def _page(storage: Storage, places: list[str], metric: str | None, target: str) -> str:
    """Write a page.

    :return: its URI.
    """
    from airflow_sklearn.report.stored import write_compare_page, write_model_page
    from airflow_sklearn.runs.leaderboard import leaderboard

    if len(places) > 1:
        return write_compare_page(storage, leaderboard(storage, places, metric=metric, target=target))
    return write_model_page(storage, places[0]) if _is_model(storage, places[0]) else _run_page(storage, places[0])


def _run_page(storage: Storage, place: str) -> str:
    from airflow_sklearn.datasets.run_catalog import find_run
    from airflow_sklearn.exceptions import UserError
    from airflow_sklearn.report.stored_runs import make_page, page_uri

    try:
        run = find_run(storage, place)
    except UserError as error:
        raise UserError(f"{place} is no model (it has no latest.json), and {error}") from None
    uri = page_uri(run.plan.ledger)
    storage.write(uri, make_page(storage, run.plan, run.plan_uri).encode())
    return uri


def _is_model(storage: Storage, place: str) -> bool:
    """Whether a place is a model, or the manifest of one of its versions."""
    from airflow_sklearn.storage import join

    return place.endswith("/manifest.json") or storage.exists(join(place, "latest.json"))


def _local_file(storage: Storage, page: str, output: Path | None, *, needed: bool) -> Path | None:
    """A file of this machine with a page; None: it is elsewhere, and nobody needs one.

    :param output: where to copy the page; None: it is copied to the temporary folder, if it is needed.
    """
    import tempfile

    local = storage.local_path(page)
    if output is None:
        if local or not needed:
            return Path(local) if local else None
        name = f"airflow-sklearn-{hashlib.sha256(page.encode()).hexdigest()[:12]}.html"
        output = Path(tempfile.gettempdir()) / name
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(storage.read(page))
    return output
