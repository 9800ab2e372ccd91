"""Where the demo keeps what it makes. All of it goes with `make clean`."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DAGS = REPOSITORY / "dags"
PLUGINS = REPOSITORY / "demo" / "plugins"

HOME = REPOSITORY / ".demo"
AIRFLOW_HOME = HOME / "airflow"
#: What the DAGs know as FLIGHTS_ROOT: data, models and predictions.
FLIGHTS = HOME / "flights"
CSV_FOLDER = FLIGHTS / "csv"
PARQUET_FOLDER = FLIGHTS / "parquet"

MODEL = FLIGHTS / "models" / "late"
PREDICTIONS = FLIGHTS / "predictions" / "late"

DAG_ID = "flights_monthly"
MONTHS = ("2013-07", "2013-08", "2013-09")
"""The months that are backfilled: after those that the model learns from."""


def airflow_environment() -> dict[str, str]:
    """What the demo adds to Airflow's settings, and what the templates in ``dags/`` and their workers read.

    Threads that wait let others have the core (OMP_WAIT_POLICY): on a machine that does other work too, Airflow's
    services at least, scikit-learn's gradient boosting else takes up to ten times as long.
    """
    return {
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
        "AIRFLOW__AIRFLOW_SKLEARN__LOCAL_FILES_URL": "/local-files",
        "FLIGHTS_ROOT": FLIGHTS.as_uri(),
        "OMP_WAIT_POLICY": "passive",
    }
