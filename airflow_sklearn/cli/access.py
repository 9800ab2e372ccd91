"""Access to storage and AWS, and checks of what is installed here."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_sklearn.runtimes.base import AwsAccess
    from airflow_sklearn.storage import Storage

#: Modules of the container side, and the packages that bring them.
WORKER_PACKAGES = {
    "cloudpickle": "cloudpickle",
    "joblib": "joblib",
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "threadpoolctl": "threadpoolctl",
}


def missing_packages() -> list[str]:
    """The packages of the container side that are not installed here."""
    return [package for module, package in WORKER_PACKAGES.items() if importlib.util.find_spec(module) is None]


def has_airflow() -> bool:
    """Whether Airflow is installed here."""
    return importlib.util.find_spec("airflow") is not None


def need_worker(command: str) -> None:
    """Check that the container side is installed.

    :param command: what needs it.
    :raises BrokenEnvironmentError: packages are missing; the message names them.
    """
    from airflow_sklearn.exceptions import BrokenEnvironmentError

    if missing := missing_packages():
        raise BrokenEnvironmentError(
            f"{command} needs the packages of the worker, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed here. Fix: pip install 'airflow-sklearn[worker]'; "
            f"without Airflow: pip install {' '.join(missing)}"
        )


def need_airflow(what: str) -> None:
    """Check that Airflow is installed.

    :param what: what needs it.
    :raises BrokenEnvironmentError: it is not.
    """
    from airflow_sklearn.exceptions import BrokenEnvironmentError

    if not has_airflow():
        raise BrokenEnvironmentError(
            f"{what} needs Airflow, which is not installed here. Fix: run it where Airflow is, such as beside the "
            "scheduler, or pip install apache-airflow apache-airflow-providers-amazon"
        )


def aws_access(aws_conn_id: str | None) -> AwsAccess:
    """Access to AWS by an Airflow connection, or with the environment's credentials.

    :raises BrokenEnvironmentError: a connection is named, and Airflow is not installed.
    """
    from airflow_sklearn.aws.session import SessionAccess

    if aws_conn_id is None:
        return SessionAccess()
    need_airflow(f"--aws-conn-id {aws_conn_id}")
    from airflow_sklearn.aws.connection import AwsConnection

    # Airflow 3's own commands that read connections from the database do the same.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    return AwsConnection(aws_conn_id)


def storage_by(aws_conn_id: str | None) -> Storage:
    """The storage, with an Airflow connection or the environment's credentials."""
    from airflow_sklearn.storage import Storage

    if aws_conn_id is None:
        return Storage()
    aws = aws_access(aws_conn_id)
    return Storage(lambda: aws.client("s3"))


def uris(places: Iterable[str]) -> list[str]:
    """Places as URIs; see ``place_uri``."""
    from airflow_sklearn.storage.uris import place_uri

    return [place_uri(place) for place in places]
