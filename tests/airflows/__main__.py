"""``make test-airflows``: a template of dags/ runs in each Airflow that requirements/airflows has a lock file for.

::

    python -m tests.airflows [VERSION ...]

Each version gets an environment of its own, below .venv-airflows, that is kept. The template runs twice in it, on local
files: with jobs in the same environment; and deferred, with jobs in an environment of their own that has no Airflow and
another scikit-learn. A table says how each went, and the exit code is 1 if one went wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LOCKS = REPOSITORY / "requirements" / "airflows"
ENVIRONMENTS = REPOSITORY / ".venv-airflows"
WORKER = REPOSITORY / ".venv-worker" / "bin" / "python"
UV = REPOSITORY / ".venv" / "bin" / "uv"
TEMPLATE = REPOSITORY / "dags" / "parquet_to_parquet.py"
RUNTIME = "RUNTIME = LocalRuntime(processes=1)"
ROWS = 1000
FILES = 3
SECONDS = 1200  # for one command of Airflow, beside much else
WORTH_NAMING = ("apache-airflow-providers-amazon", "pydantic", "scikit-learn", "pandas", "pyarrow")


@dataclass(frozen=True)
class Round:
    """One of the ways in which the template runs."""

    name: str
    python: Path | None
    deferrable: bool


ROUNDS = (
    Round("beside Airflow", python=None, deferrable=False),
    Round("own environment, deferred", python=WORKER, deferrable=True),
)


def versions() -> list[str]:
    return sorted((path.stem for path in LOCKS.glob("*.txt")), key=lambda name: [int(part) for part in name.split(".")])


def environment_of(version: str) -> Path:
    """The version's Python, in an environment that is made or brought up to date with its lock file."""
    folder, lock = ENVIRONMENTS / version, LOCKS / f"{version}.txt"
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists() or ready.read_bytes() != lock.read_bytes():
        say(f"Airflow {version}: setting up {folder.relative_to(REPOSITORY)}")
        uv("venv", "--quiet", "--allow-existing", "--python", sys.executable, folder)
        uv("pip", "install", "--quiet", "--compile-bytecode", "--python", python, "--requirement", lock)
        uv("pip", "install", "--quiet", "--python", python, "--no-deps", "--editable", REPOSITORY)
        (folder / "airflow.db").unlink(missing_ok=True)
        ready.write_bytes(lock.read_bytes())
    uv("pip", "check", "--quiet", "--python", python)
    return python


def uv(*arguments: str | Path) -> None:
    subprocess.run([UV, *arguments], check=True)


def run_template(python: Path, how: Round, folder: Path) -> str:
    """What went wrong, or nothing.

    :param folder: an empty one, for Airflow's home, the data and the log.
    """
    dags, data = folder / "home" / "dags", folder / "data"
    dags.mkdir(parents=True)
    write_tables(data / "parquet")
    source = TEMPLATE.read_text()
    if RUNTIME not in source:
        return f"{TEMPLATE.name} has no line {RUNTIME}"
    if how.python is not None:
        source = source.replace(RUNTIME, f"RUNTIME = LocalRuntime(python={str(how.python)!r}, processes=1)")
    (dags / TEMPLATE.name).write_text(source)
    database = folder / "home" / "airflow.db"
    migrated = python.parents[1] / "airflow.db"
    if migrated.exists():
        shutil.copy(migrated, database)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment.update(
        AIRFLOW_HOME=str(folder / "home"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{database}",
        AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE=str(how.deferrable),
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AWS_EC2_METADATA_DISABLED="true",
        FLIGHTS_ROOT=str(data),
        PATH=f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        TMPDIR=str(folder),
    )
    airflow = [python, "-m", "airflow"]
    if not migrated.exists():
        if fault := run_command([*airflow, "db", "migrate"], environment, folder)[0]:
            return fault
        shutil.copy(database, migrated)
    # Airflow 3.0 runs no task whose assets it has not seen in a serialized DAG.
    if fault := run_command([*airflow, "dags", "reserialize"], environment, folder)[0]:
        return fault
    runner = REPOSITORY / "tests" / "airflows" / "run_dag.py"
    fault, said = run_command([python, runner, dags / TEMPLATE.name], environment, folder)
    return fault or judge(json.loads(said.splitlines()[-1]), data)


def run_command(command: Sequence[str | Path], environment: dict[str, str], folder: Path) -> tuple[str, bytes]:
    """What went wrong, or nothing; and what the command said. All of it goes into the folder's log too."""
    with (folder / "log").open("ab") as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        log.flush()
        try:
            done = subprocess.run(
                command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"{command[-1]}: not done after {SECONDS} s", b""
        log.write(done.stdout)
    return (f"{' '.join(map(str, command[1:]))}: exit code {done.returncode}" if done.returncode else ""), done.stdout


def judge(told: dict[str, object], data: Path) -> str:
    if told["state"] != "success":
        return f"the run ended as {told['state']}: {told['tasks']}"
    manifest = json.loads((data / "tables" / "arrival_delay" / "all" / "_manifest.json").read_bytes())
    wanted = ROWS * FILES
    return "" if manifest["rows"] == wanted else f"{manifest['rows']} rows were published for {wanted}"


def write_tables(folder: Path) -> None:
    """Small tables with the columns that the template names. Written by the environment that runs this module."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for month in range(1, FILES + 1):
        number = range(ROWS)
        table = pa.table(
            {
                "flight_id": [f"2013-{month:02}-{i:05}" for i in number],
                "carrier": [("AA", "UA", None)[i % 3] for i in number],
                "distance": [i * 37 % 2500 for i in number],
                "departure_delay": [None if i % 50 == 0 else (i * 13 % 101) / 2 for i in number],
                "arrival_delay": [(i * 13 % 101) / 2 + i % 3 for i in number],
                "late": [i * 13 % 101 > 30 for i in number],
                "very_late": [i * 13 % 101 > 90 for i in number],
                "cancelled": [False for _ in number],
                "tail_number": [f"N{i % 400}" for i in number],
            }
        )
        pq.write_table(table, folder / f"2013-{month:02}.parquet")


def packages(python: Path) -> str:
    """The versions of some packages there, for the table."""
    source = f"from importlib.metadata import version\nprint(*[version(name) for name in {WORTH_NAMING}])"
    return subprocess.run([python, "-c", source], capture_output=True, text=True, check=True).stdout.strip()


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.airflows", description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="*", help="default: all")
    chosen = parser.parse_args().version or versions()
    if unknown := set(chosen) - set(versions()):
        parser.error(f"no lock file for {', '.join(sorted(unknown))}; there are {', '.join(versions())}")
    row = "{:8}  {:26}  {:10}  {}".format
    table, wrong = [row("Airflow", "jobs run", "result", " ".join(WORTH_NAMING))], 0
    for version in chosen:
        python = environment_of(version)
        for how in ROUNDS:
            folder = Path(tempfile.mkdtemp(prefix=f"airflow-{version}-"))
            began = time.monotonic()
            fault = run_template(python, how, folder)
            say(f"Airflow {version}, {how.name}: {fault or 'passed'}, {time.monotonic() - began:.0f} s")
            table.append(row(version, how.name, "FAILED" if fault else "passed", packages(python)))
            if fault:
                wrong += 1
                say("\n".join((folder / "log").read_text(errors="replace").splitlines()[-60:]))
                say(f"Everything that it left: {folder}")
            else:
                shutil.rmtree(folder)
    say("\n".join(["", *table]))
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
