"""The entry point of the command ``airflow-sklearn``."""

from __future__ import annotations

import sys

_BROKEN_ENVIRONMENT = 78  # contract.exit_codes.BROKEN_ENVIRONMENT, which imports pydantic
_NEEDED = ("typer", "rich")


def main() -> int:
    """Run the command with this process's arguments.

    :return: the exit code, if the command could not be started. Typer ends the process otherwise.
    """
    try:
        from airflow_sklearn.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        print(
            f"The command airflow-sklearn needs {error.name}, which is not installed here.\n"
            "Fix: pip install 'airflow-sklearn[cli]'; without Airflow: pip install typer rich pyyaml psutil",
            file=sys.stderr,
        )
        return _BROKEN_ENVIRONMENT
    app(prog_name="airflow-sklearn")
    return 0
