"""The command as a whole: help, subcommands, exit codes, and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from airflow_sklearn import __version__
from airflow_sklearn.cli.answer import Answer, command
from airflow_sklearn.cli.app import app
from tests.cli.conftest import Call
from tests.conftest import HAS_AIRFLOW

SLOW_TO_IMPORT = ("airflow", "boto3", "joblib", "numpy", "pandas", "pydantic", "pyarrow", "sklearn")
COMMANDS = [
    ["plan"], ["train"], ["predict"], ["verify"], ["report"], ["register"], ["clean"], ["doctor"], ["models", "list"],
    ["models", "show"], ["models", "compare"], ["runs", "list"], ["runs", "show"],
]  # fmt: skip


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_imports_nothing_slow() -> None:
    code = (
        "import sys; sys.argv = ['airflow-sklearn', '--help']\n"
        "from airflow_sklearn.cli.main import main\n"
        "try: main()\n"
        f"finally: print('slow:', [name for name in {SLOW_TO_IMPORT} if name in sys.modules])"
    )
    done = run_python("-c", code)
    assert done.stdout.endswith("slow: []\n"), done.stderr
    names = {one.name for one in app.registered_commands} | {group.name for group in app.registered_groups}
    assert {one[0] for one in COMMANDS} | {"policies", "reap"} <= names
    assert all(f" {name} " in done.stdout for name in names)
    assert "Exit codes: 0 done" in done.stdout


def test_the_module_is_the_same_command() -> None:
    done = run_python("-m", "airflow_sklearn", "--version")
    assert (done.stdout, done.returncode) == (f"airflow-sklearn {__version__}\n", 0)


def test_where_typer_is_missing_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from airflow_sklearn.cli.main import main; sys.exit(main())"
    done = run_python("-c", code)
    assert done.returncode == 78
    assert "needs typer, which is not installed here" in done.stderr
    assert "pip install 'airflow-sklearn[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_each_command_explains_itself_and_prints_json(name: list[str], printed: Call) -> None:
    shown = printed(*name, "--help")
    assert "--json" in shown
    assert "--aws-conn-id" in shown


def test_a_wrong_option_ends_with_two(printed: Call) -> None:
    assert "--modell" in printed("plan", "--modell", "m", code=2)
    printed("clean", "out", "--older-than", "1", code=2)


def test_an_unknown_place_is_the_users_error_in_text_and_in_json(called: Call, printed: Call) -> None:
    assert "'ftp://x/y' is not a storage URI" in printed("models", "list", "ftp://x/y", code=64)
    found = called("models", "list", "ftp://x/y", code=64)
    assert found["exit_code"] == 64
    assert (found["error"]["kind"], found["error"]["type"]) == ("user", "UserError")


def test_a_fault_of_the_program_shows_where_it_is() -> None:
    broken = typer.Typer()
    broken.callback()(lambda: None)

    def divide(as_json: bool = False) -> Answer:
        return Answer({"never": 1 // 0})

    command(broken, "divide")(divide)
    done = CliRunner().invoke(broken, ["divide"])
    assert done.exit_code == 70
    assert "in divide" in done.output
    assert "Error: ZeroDivisionError" in done.output


@pytest.mark.skipif(HAS_AIRFLOW, reason="Airflow is here")
def test_without_airflow_what_needs_it_says_so(printed: Call, here: Path) -> None:
    shown = printed("models", "list", ".", "--aws-conn-id", "aws_default", code=78)
    assert "--aws-conn-id aws_default needs Airflow" in shown
    assert "reap asks Airflow's database" in printed("reap", "--ec2", code=78)
    assert "Airflow is not installed here" in printed("doctor")


def test_policies_are_those_of_the_module(called: Call, printed: Call, here: Path) -> None:
    where = ["--cluster", "ml", "--region", "eu-west-1", "--account", "111122223333", "--model", "s3://acme/models"]
    assert {"airflow", "task"} <= set(called("policies", *where))
    assert called("policies", *where, "--output", "out", "--policy", "task") == {"written": ["out/task.json"]}
    assert "usage: airflow-sklearn policies" in printed("policies", "--help")
    printed("policies", "--cluster", "ml", code=2)
