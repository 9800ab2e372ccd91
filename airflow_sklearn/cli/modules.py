"""``airflow-sklearn policies`` and ``reap``: the commands of two modules, which keep their own options.

``python -m airflow_sklearn.aws.iam`` and ``python -m airflow_sklearn.runtimes.reaper`` are the same.
"""

from __future__ import annotations

import typer

from airflow_sklearn.cli.access import need_airflow

#: All options are handed on, ``--help`` too.
HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def policies(context: typer.Context) -> None:
    """Print least-privilege IAM policies for your buckets and cluster. `policies --help` has the options."""
    from airflow_sklearn.aws.iam.__main__ import main

    raise typer.Exit(main(context.args, prog="airflow-sklearn policies"))


def reap(context: typer.Context) -> None:
    """End instances and containers of tasks that have ended. `reap --help` has the options."""
    need_airflow("reap asks Airflow's database, and")
    from airflow_sklearn.runtimes.reaper.__main__ import main

    raise typer.Exit(main(context.args, prog="airflow-sklearn reap"))
