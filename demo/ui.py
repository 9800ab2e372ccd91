"""`make airflow`: Airflow's UI on the demo's environment, until it is interrupted."""

from __future__ import annotations

import sys
import time

from demo import settings
from demo.local_airflow import LocalAirflow, LocalAirflowError, ended_by_signals, only_one

PORT = 8080


def main() -> int:
    """:return: the exit code."""
    try:
        with only_one(settings.HOME / "lock"), ended_by_signals():
            serve()
    except LocalAirflowError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def serve() -> None:
    """Start Airflow with all its services, and wait."""
    if not settings.CSV_FOLDER.exists():
        print("There are no runs to look at yet: `make demo` makes them (and the data that the DAGs read).")
    print("Starting Airflow ...", flush=True)
    with LocalAirflow(
        settings.AIRFLOW_HOME, settings.DAGS, settings.airflow_environment(), port=PORT, triggerer=True
    ) as airflow:
        airflow.wait_for_dag(settings.DAG_ID)
        print(f"\n  {airflow.url}\n")
        print(f"  {airflow.url}/dags/{settings.DAG_ID}\n")
        print("No password: it listens on this machine only. Ctrl-C ends it.", flush=True)
        while True:
            airflow.check_services()
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
