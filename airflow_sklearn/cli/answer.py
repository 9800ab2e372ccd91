"""What a subcommand answers, and how it is printed: for people, or as one JSON document."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import typer

_WIDE = 240  # characters
_NOT_FOUND = 66  # EX_NOINPUT of sysexits.h. A task is retried, since its source may appear. The command is not.


@dataclass(frozen=True)
class Answer:
    """The answer of a subcommand.

    :param document: what ``--json`` prints.
    :param shown: texts and tables of rich for people, one after another.
    :param code: the exit code.
    """

    document: Mapping[str, Any]
    shown: Sequence[Any] = ()
    code: int = 0


@dataclass(frozen=True)
class Rows:
    """A table for people.

    :param columns: the headings. One that begins with ``>`` is of numbers, which are aligned to the right.
    :param rows: the cells, as texts.
    :param title: a line above the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Add a subcommand whose function returns an ``Answer``. Errors become messages and exit codes.

    :param name: the subcommand's name.
    :param options: further arguments of ``typer.Typer.command``.
    """

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            as_json = bool(kwargs.get("as_json"))
            # Airflow's log goes to the standard output, which is the answer's.
            with _errors(as_json), redirect_stdout(sys.stderr):
                answer = function(*args, **kwargs)
            show(answer, as_json=as_json)
            if answer.code:
                raise typer.Exit(answer.code)

        app.command(name, **options)(run)
        return function

    return register


def told(function: Callable[[typer.Context], None]) -> Callable[[typer.Context], None]:
    """A function that takes all further arguments of the command line, with errors as messages and exit codes."""

    @functools.wraps(function)
    def run(context: typer.Context) -> None:
        with _errors("--json" in context.args):
            function(context)

    return run


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer to the standard output."""
    if as_json:
        print(json.dumps(answer.document, indent=2, default=str))
        return
    console = console_of(sys.stdout)
    for part in answer.shown:
        console.print(_table(part) if isinstance(part, Rows) else part, markup=False, highlight=False, soft_wrap=True)
        if isinstance(part, Rows):
            for note in part.notes:
                console.print(note, markup=False, highlight=False, soft_wrap=True)


def console_of(file: Any) -> Any:
    """A console of rich for a stream."""
    from rich.console import Console

    # What is no terminal has no width: a file or a pipe gets each row in one line.
    return Console(file=file, width=None if file.isatty() else _WIDE)


def _table(rows: Rows) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(rows.title, style="bold") if rows.title else None
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows.columns:
        justify: Any = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, overflow="fold")
    for row in rows.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """Turn an error into a message without a traceback and an exit code; see ``contract.exit_codes``."""
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except (Exception, KeyboardInterrupt) as error:
        raise typer.Exit(_told(error, as_json)) from None


def _told(error: BaseException, as_json: bool) -> int:
    """Print an error.

    :return: its exit code.
    """
    from airflow_sklearn.contract.exit_codes import BY_KIND, kind_of
    from airflow_sklearn.exceptions import AirflowSklearnError, DataError, ObjectNotFoundError
    from airflow_sklearn.storage.full_disk import full_disk_error

    error = full_disk_error(error) or error
    kind = kind_of(error)
    code = _NOT_FOUND if isinstance(error, ObjectNotFoundError) else BY_KIND[kind]
    message = _message(error)
    if kind == "internal" and not isinstance(error, AirflowSklearnError) and not _is_of_aws(error):
        traceback.print_exception(error, file=sys.stderr)  # a fault of this package or of a library, not of the user
    if as_json:
        problems = error.problems if isinstance(error, DataError) else ()
        told = {
            "kind": kind,
            "type": type(error).__name__,
            "message": message,
            "problems": [problem.model_dump(mode="json") for problem in problems],
        }
        print(json.dumps({"error": told, "exit_code": code}, indent=2))
    else:
        console_of(sys.stderr).print(f"Error: {message}", markup=False, highlight=False, soft_wrap=True)
    return code


def _message(error: BaseException) -> str:
    from pydantic import ValidationError

    from airflow_sklearn.contract.faults import explain, sentences
    from airflow_sklearn.exceptions import AirflowSklearnError

    if isinstance(error, AirflowSklearnError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{error.name} is not installed here. Fix: pip install 'airflow-sklearn[cli,worker]'; without Airflow: "
            f"pip install {error.name}"
        )
    if isinstance(error, KeyboardInterrupt):
        return "Stopped. What is done stays done: the same command continues."
    if isinstance(error, ValidationError):
        return sentences(explain(error))
    if _is_without_credentials(error):
        return (
            f"There are no credentials for AWS ({error}). Fix: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or name a connection of Airflow: --aws-conn-id aws_default."
        )
    return f"{type(error).__name__}: {error}"


def _is_of_aws(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("boto3", "botocore", "urllib3")


def _is_without_credentials(error: BaseException) -> bool:
    from airflow_sklearn.aws.errors import Kind, classify

    return _is_of_aws(error) and classify(error) is Kind.NO_CREDENTIALS
