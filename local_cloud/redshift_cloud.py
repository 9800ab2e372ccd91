"""S3 and Redshift, and nothing else: for tests that need no container."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_cloud import ministack, postgres
from local_cloud.postgres import LOOPBACK
from local_cloud.redshift import standin
from local_cloud.redshift.standin import Redshift

BUCKET = "airflow-sklearn-redshift"


@dataclass(frozen=True)
class RedshiftCloud:
    """A running local AWS with S3 and a Redshift that reads and writes there.

    :param bucket: exists; tests choose prefixes of their own in it.
    """

    cloud: ministack.Cloud
    redshift: Redshift
    postgres: postgres.Postgres
    bucket: str = BUCKET


@contextmanager
def running(folder: Path) -> Iterator[RedshiftCloud]:
    """Start it, and end it.

    :param folder: for logs and temporary files.
    :raises postgres.NoPostgresError: PostgreSQL cannot be run here.
    """
    postgres.check()
    with (
        ministack.running(folder / "ministack.log") as cloud,
        postgres.running(LOOPBACK, folder / "postgres.log") as database,
        standin.running(database, cloud.endpoint, folder / "redshift.log") as redshift,
    ):
        cloud.client("s3").create_bucket(Bucket=BUCKET)
        yield RedshiftCloud(cloud, redshift, database)
