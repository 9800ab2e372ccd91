"""Options that several subcommands share, and reading their values."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

_AWS_HELP = "An Airflow connection to AWS, where Airflow is installed. Default: the environment's credentials."

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
AwsConnId = Annotated[str | None, typer.Option("--aws-conn-id", metavar="ID", help=_AWS_HELP)]
Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="Arguments by name in a YAML or JSON file. Options of the command line take precedence.",
    ),
]
Python = Annotated[
    str | None,
    typer.Option("--python", metavar="PATH", help="Interpreter for the jobs, as LocalRuntime(python=...)."),
]
Processes = Annotated[
    int | None, typer.Option("--processes", min=1, help="The most processes of a job. Default: one a core.")
]


def arguments(
    settings: Path | None, given: Mapping[str, Any], required: Collection[str], command: str
) -> dict[str, Any]:
    """Merge a file of settings with the options of the command line.

    :param settings: the file; None: there is none.
    :param given: the options by argument; None and empty lists were not given.
    :param required: arguments that must be there.
    :param command: the subcommand's name, for messages.
    :raises UserError: the file cannot be read, or arguments are unknown or missing; the message says all of them.
    """
    from airflow_sklearn.contract.arguments import check_names
    from airflow_sklearn.contract.misplaced import belongs
    from airflow_sklearn.exceptions import UserError

    stored = read_settings(settings) if settings else {}
    check_names(f"{settings} for {command}", stored, frozenset(given), belongs)
    merged = {**stored, **{name: value for name, value in given.items() if value is not None and value != []}}
    if missing := [name for name in required if merged.get(name) in (None, "")]:
        flags = " ".join(f"{flag(name)} ..." for name in missing)
        raise UserError(f"{command}: {', '.join(missing)}: not given. Fix: say {flags}, or put it into --settings.")
    return merged


def flag(argument: str) -> str:
    """The option of an operator's argument: ``--primary-key``."""
    return f"--{argument.replace('_', '-')}"


def read_settings(path: Path) -> dict[str, Any]:
    """Read a file of settings: JSON, or YAML if its name ends in ``.yaml`` or ``.yml``.

    :raises UserError: it is not there, or holds no mapping from names to values.
    """
    from airflow_sklearn.exceptions import UserError

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UserError(f"The settings {path} cannot be read: {error}.") from None
    found = _from_yaml(path, text) if path.suffix in (".yaml", ".yml") else _from_json(path, text)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UserError(f"The settings {path} are no mapping. Fix: write arguments by name, such as target: churned.")
    return found


def _from_json(path: Path, text: str) -> Any:
    from airflow_sklearn.exceptions import UserError

    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"The settings {path} are no JSON: {error}. YAML files end in .yaml or .yml.") from None


def _from_yaml(path: Path, text: str) -> Any:
    from airflow_sklearn.exceptions import BrokenEnvironmentError, UserError

    try:
        import yaml
    except ModuleNotFoundError:
        raise BrokenEnvironmentError(
            f"The settings {path} are YAML, and PyYAML is not installed here. Fix: pip install pyyaml, or write JSON."
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"The settings {path} are no YAML: {error}") from None


def one_or_list(values: Iterable[str]) -> Any:
    """A repeated option as an operator's argument: one value stays alone; None: there is none."""
    found = list(values)
    return None if not found else found[0] if len(found) == 1 else found


def mapping(argument: str, pairs: Iterable[str]) -> dict[str, Any] | None:
    """``KEY=VALUE`` options as a dict. A value that is JSON (a number, true, a list) is read as such.

    :param argument: the argument's name, for messages.
    :return: None: there is none.
    :raises UserError: one is no ``KEY=VALUE``.
    """
    from airflow_sklearn.exceptions import UserError

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UserError(f"{flag(argument)} {pair!r} is no NAME=VALUE, such as {flag(argument)} max_iter=200.")
        found[key] = value_of(value)
    return found or None


def value_of(text: str | None) -> Any:
    """A value of the command line: what is JSON is read as such, all else is text."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
