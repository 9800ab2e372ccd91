"""That the local cloud does what AWS does, where tests of airflow-sklearn rely on it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator

import pytest

from local_cloud.ministack import Cloud
from local_cloud.redshift.standin import Redshift
from local_cloud.redshift_cloud import RedshiftCloud
from local_cloud.tests.redshift.trials import Folder

# Before anything imports Airflow, for its hooks: a test never touches the Airflow of whoever runs it.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="local-cloud-tests-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture
def bucket(cloud: Cloud) -> str:
    """An empty bucket of the test's own; its name."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    cloud.client().create_bucket(Bucket=name)
    return name


@pytest.fixture
def redshift(redshift_cloud: RedshiftCloud) -> Redshift:
    """The stand-in, where no container is needed."""
    return redshift_cloud.redshift


@pytest.fixture
def schema(redshift: Redshift) -> Iterator[str]:
    """A schema of the test's own; its name."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    redshift.query(f"CREATE SCHEMA {name}")
    yield name
    redshift.query(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def folder(redshift_cloud: RedshiftCloud) -> Folder:
    """A prefix of the test's own in S3."""
    return Folder(redshift_cloud)
