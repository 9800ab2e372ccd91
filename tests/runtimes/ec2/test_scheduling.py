"""Where jobs were placed is written down below a destination: what is not of its own folder is not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_sklearn.contract.job_queue import Placement
from airflow_sklearn.exceptions import DocumentError
from airflow_sklearn.runtimes.ec2.scheduling import pool_of, record, recorded, schedule
from airflow_sklearn.storage import Storage
from tests.runtimes.conftest import make_job

KEY = "key"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return f"file://{tmp_path}/ledger/jobs"


@pytest.fixture(params=[1, 2])
def placement(request: pytest.FixtureRequest, tmp_path: Path, folder: str) -> Placement:
    job = make_job(tmp_path).model_copy(update={"result_uri": f"{folder}/a.result.json"})
    pool = pool_of(job, folder, "kind")
    return schedule(Storage(), pool, request.param, job, f"{folder}/a.json", "")


def test_a_placement_is_found_again(folder: str, placement: Placement) -> None:
    record(Storage(), KEY, placement)
    assert recorded(Storage(), folder, KEY) == [placement]


@pytest.mark.parametrize(
    "change",
    [
        {"pool": "file:///elsewhere/pools/0123456789abcdef"},
        {"pool": "{folder}/pools/../../0123456789abcdef"},
        {"pool": "{folder}/pools"},
        {"number": "../../0123"},
        {"number": "a/b"},
        {"job_uri": "file:///elsewhere/a.json"},
        {"result_uri": "file:///elsewhere/a.result.json"},
    ],
    ids=str,
)
def test_a_record_that_names_what_lies_elsewhere_is_refused(
    folder: str, placement: Placement, change: dict[str, Any]
) -> None:
    forged = placement.model_copy(update={name: text.format(folder=folder) for name, text in change.items()})
    Storage().write(f"{folder}/placements/{KEY}/0.json", forged.to_json())
    with pytest.raises(DocumentError, match="somebody else has written it"):
        recorded(Storage(), folder, KEY)
