from __future__ import annotations

from pathlib import Path

import pytest

from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.datasets.base import Attempt
from airflow_sklearn.datasets.out_of_sample import publish_out_of_sample
from airflow_sklearn.datasets.registry import as_destination
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage import Storage

GOLDEN = Path(__file__).parents[1] / "golden" / "0.2.0" / "model-manifest.json"


@pytest.mark.parametrize(
    ("not_made", "message"),
    [
        ({"validation": "only 3 rows"}, "is fitted, but .* because its validation failed: only 3 rows"),
        ({"metrics": "too wide"}, "was trained without validation"),
    ],
    ids=["failed", "not asked for"],
)
def test_scores_that_are_not_there_are_told_with_the_reason(
    tmp_path: Path, not_made: dict[str, str], message: str
) -> None:
    manifest = ModelManifest.from_json(GOLDEN.read_bytes())
    manifest = manifest.model_copy(update={"out_of_sample": None, "not_made": not_made})
    with pytest.raises(UserError, match=message):
        publish_out_of_sample(
            Attempt(Storage(), JobIdentity()), manifest, as_destination(f"file://{tmp_path}/scores"), run="r"
        )
