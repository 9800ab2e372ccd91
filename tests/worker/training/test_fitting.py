"""What fails after fitting costs only itself."""

from __future__ import annotations

import pytest

from airflow_sklearn.contract.model import FactoryEstimator, ModelManifest, PresetEstimator, SeveralEstimators
from airflow_sklearn.exceptions import StorageError, UserError
from airflow_sklearn.worker.training.fitting import keeping_the_model
from tests.worker.training.test_out_of_sample import noise
from tests.worker.workbench import Workbench, error_of


def test_a_validation_that_fails_leaves_the_model_and_says_so(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    source = bench.write(noise(), "t.csv")
    manifest = bench.train(source, "tests.worker.factories:NeedsManyRows", cross_validation=4)
    assert "only 300 rows" in manifest.not_made["validation"]
    assert manifest.metrics == {}
    assert manifest.metrics_object is manifest.out_of_sample is None
    (warning,) = [one for one in manifest.warnings if "without its validation" in one]
    assert warning.partition(": ")[2] in caplog.text
    assert bench.predict(source).num_rows == 400


def test_values_stay_out_of_what_is_said_if_they_are_hidden(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    job = bench.train_job(bench.write(noise(), "t.csv"), "tests.worker.factories:NeedsManyRows", cross_validation=4)
    result = bench.run(job.model_copy(update={"show_values": False}))
    manifest = ModelManifest.from_json(bench.storage.read(result.output_uri))
    said = [manifest.not_made["validation"], *manifest.warnings, caplog.text]
    assert not [text for text in said if "only 300 rows" in text]


def test_of_several_targets_the_one_whose_validation_failed_is_named(bench: Workbench) -> None:
    table = noise().append_column("z", noise()["y"])
    estimator = SeveralEstimators(
        by_target={
            "y": PresetEstimator(name="sparse_logistic"),
            "z": FactoryEstimator(path="tests.worker.factories:NeedsManyRows"),
        }
    )
    manifest = bench.train(bench.write(table, "t.csv"), estimator, target=("y", "z"), cross_validation=4)
    assert set(manifest.not_made) == {"validation of 'z'"}
    assert "y.roc_auc" in manifest.metrics
    assert not [name for name in manifest.metrics if name.startswith("z.")]


def test_a_model_whose_threshold_cannot_be_tuned_is_none(bench: Workbench) -> None:
    job = bench.train_job(
        bench.write(noise(), "t.csv"), "tests.worker.factories:NeedsManyRows", cross_validation=4, threshold="f1"
    )
    assert "threshold='f1' cannot be tuned" in error_of(bench.run(job))


def test_a_validation_that_cannot_be_is_refused_before_anything_is_fitted(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    job = bench.train_job(bench.write(noise(7), "t.csv"), "sparse_ridge_regressor", target="x", cross_validation=4)
    assert "7 rows are too few for 4 folds" in error_of(bench.run(job))
    assert "Fitted" not in caplog.text


def test_what_a_retry_may_mend_is_left_to_the_retry() -> None:
    def store() -> None:
        raise StorageError("503")

    with pytest.raises(StorageError):
        keeping_the_model("metrics", store, {})


def test_the_reason_of_a_users_error_is_kept_in_our_own_words() -> None:
    def make() -> None:
        raise UserError("too few")

    not_made: dict[str, str] = {}
    with pytest.warns(UserWarning, match="kept, but without its metrics, which failed: too few"):
        keeping_the_model("metrics", make, not_made)
    assert not_made == {"metrics": "too few"}
