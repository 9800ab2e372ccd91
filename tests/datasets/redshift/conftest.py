"""The stand-in as Airflow's default connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_sklearn.storage import Storage
from local_cloud.redshift.session import SNAPSHOT_ISOLATION
from tests.datasets.redshift.publishing import Place


@pytest.fixture
def place(redshift_cloud: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty schema of the test's own; conflicts are run again without long pauses.

    As an indirect parameter it takes the isolation level, see ``publishing.each_isolation``.
    """
    from airflow_sklearn.datasets.redshift import transactions

    connection = redshift_cloud.redshift.connection
    if getattr(request, "param", "serializable") == "snapshot":
        connection["extra"] = {**connection["extra"], "application_name": SNAPSHOT_ISOLATION}
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(transactions, "_FIRST_PAUSE", 0.02)
    found = Place(redshift_cloud, Storage(lambda: redshift_cloud.cloud.client()))
    found.sql("CREATE SCHEMA {s}")
    yield found
    found.sql("DROP SCHEMA {s} CASCADE")
