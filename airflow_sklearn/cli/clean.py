"""``airflow-sklearn clean``: remove ledgers and parts that nothing needs any more."""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_sklearn.cli.access import storage_by
from airflow_sklearn.cli.answer import Answer, Rows
from airflow_sklearn.cli.options import AsJson, AwsConnId


def clean(
    destination: Annotated[str, typer.Argument(help="The folder that predictions go to.")],
    ledger: Annotated[str | None, typer.Option(help="The folder of ledgers, if plans name one.")] = None,
    older_than: Annotated[int, typer.Option(min=2, metavar="DAYS", help="Younger ledgers stay.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Without this, nothing is changed.")] = False,
    aws_conn_id: AwsConnId = None,
    as_json: AsJson = False,
) -> Answer:
    """Show which ledgers and parts of a destination nothing needs any more; with --yes, remove them."""
    from datetime import timedelta

    from airflow_sklearn.contract.sizes import shown_bytes
    from airflow_sklearn.datasets.clean_up import judge_ledgers, remove
    from airflow_sklearn.storage.uris import place_uri

    storage, where, age = storage_by(aws_conn_id), place_uri(destination), timedelta(days=older_than)
    judged = judge_ledgers(storage, where, place_uri(ledger) if ledger else None, age=age)
    removed = {one.uri: remove(storage, one, age=age) for one in judged} if yes else {}
    freed = sum(removed.values()) if yes else sum(one.freed for one in judged)
    document = {
        "destination": where,
        "removed": yes,
        "bytes_freed" if yes else "bytes_to_free": freed,
        "ledgers": [
            {
                "ledger": one.uri,
                "bytes": one.size,
                "whole": one.whole,
                "objects": len(one.removable),
                "bytes_to_free": one.freed,
                "bytes_freed": removed.get(one.uri, 0),
                "reason": one.reason,
            }
            for one in judged
        ],
    }
    rows = [
        (one.uri.rpartition("/")[2], shown_bytes(one.size), shown_bytes(one.freed) if one.freed else "", one.reason)
        for one in judged
    ]
    last = f"Freed {shown_bytes(freed)}." if yes else f"This would free {shown_bytes(freed)}."
    hint = [] if yes or not freed else ["Nothing was changed. Say --yes to remove it."]
    return Answer(document, [Rows(("ledger", ">size", ">to free", "why"), rows), last, *hint])
