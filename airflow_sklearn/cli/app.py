"""The subcommands of ``airflow-sklearn``, one line each."""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_sklearn import __version__
from airflow_sklearn.cli.answer import command, told
from airflow_sklearn.cli.clean import clean
from airflow_sklearn.cli.doctor import doctor
from airflow_sklearn.cli.models import models
from airflow_sklearn.cli.modules import HANDED_ON, policies, reap
from airflow_sklearn.cli.plan import plan
from airflow_sklearn.cli.predict import predict
from airflow_sklearn.cli.register import register
from airflow_sklearn.cli.report import report
from airflow_sklearn.cli.runs import runs
from airflow_sklearn.cli.train import train
from airflow_sklearn.cli.verify import verify

_EPILOG = (
    "Exit codes: 0 done; 1 a check found a fault; 2 wrong options; 64 the request cannot be fulfilled; 65 the data or "
    "a run are not whole; 66 not found; 70 internal error; 71 out of memory; 78 something is not installed, or "
    "versions differ; 124 deadline; 143 stopped. Documentation: docs/reference/command.md"
)

app = typer.Typer(
    help="Train scikit-learn models and predict tables of any size, on this machine or from Airflow.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"airflow-sklearn {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See the help of the app."""


command(app, "plan")(plan)
command(app, "train")(train)
command(app, "predict")(predict)
command(app, "verify")(verify)
app.add_typer(models, name="models")
app.add_typer(runs, name="runs")
command(app, "report")(report)
command(app, "register")(register)
app.command("policies", context_settings=HANDED_ON)(told(policies))
app.command("reap", context_settings=HANDED_ON)(told(reap))
command(app, "clean")(clean)
command(app, "doctor")(doctor)
