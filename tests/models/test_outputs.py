from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import is_classifier
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from airflow_sklearn.contract.schema import OutputColumn, Target
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import with_preprocessing
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.outputs import (
    batch_rows_for,
    fixed_shape,
    output_columns,
    predict_arrays,
    predict_table,
    to_arrow,
)
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.presets import build_preset
from airflow_sklearn.models.schema import learn_features, learn_target
from airflow_sklearn.models.tasks import methods_of

BATCH_ROWS = 256


def late(classes: tuple[Any, ...] = (False, True), arrow_type: str = "bool") -> Target:
    return Target(name="late", arrow_type=arrow_type, task="classification", classes=classes)


def names(estimator: Any, target: Target, method: Any) -> list[tuple[str, str, int | None]]:
    return [(output.name, output.arrow_type, output.index) for output in output_columns(estimator, target, method)]


def dense_pipeline(*steps: Any) -> Pipeline:
    return make_pipeline(TablePreprocessor(sparse=False), *steps)


CUT_INVARIANT: dict[str, Any] = {
    "logistic preset": build_preset("sparse_logistic"),
    "ridge preset": build_preset("sparse_ridge_regressor"),
    "boosting preset": build_preset("hist_gradient_boosting_classifier", {"max_iter": 20}),
    "boosting regressor preset": build_preset("hist_gradient_boosting_regressor", {"max_iter": 20}),
    "dense logistic": dense_pipeline(LogisticRegression(max_iter=500)),
    "dense ridge": dense_pipeline(Ridge()),
    "pca": dense_pipeline(PCA(5), LogisticRegression(max_iter=500)),
    "mlp": dense_pipeline(MLPClassifier((30, 10), max_iter=20, random_state=0)),
    "forest": with_preprocessing(RandomForestClassifier(20, random_state=0)),
    "boosting": with_preprocessing(GradientBoostingClassifier(n_estimators=10, random_state=0)),
    "stack": dense_pipeline(
        StackingClassifier(
            [
                ("linear", LogisticRegression(max_iter=500)),
                ("mlp", MLPClassifier((10,), max_iter=10, random_state=0)),
                ("forest", RandomForestClassifier(10, random_state=0)),
            ],
            cv=2,
        )
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CUT_INVARIANT)
def test_predictions_are_the_same_to_the_bit_over_any_cut(name: str, table: pa.Table, labels: np.ndarray) -> None:
    features = learn_features(table)
    many = pa.concat_tables([table] * 5).slice(0, 2987)  # no multiple of anything
    with threadpool_limits(1):
        estimator = CUT_INVARIANT[name].fit(table, labels)
        classifier = is_classifier(estimator)
        target = learn_target(pa.array(labels), "late", classifier, estimator.classes_ if classifier else ())
        method = next((name for name in methods_of(estimator) if name != "predict"), "predict")  # labels hide bits
        outputs = output_columns(estimator, target, method)
        predicted = {}
        for chunks in (1, 2, 7, 100):
            ends = np.linspace(0, len(many), chunks + 1).astype(int)
            parts = [
                predict_table(estimator, many.slice(start, end - start), features, outputs, BATCH_ROWS)
                for start, end in pairwise(ends)
            ]
            predicted[chunks] = np.column_stack(pa.concat_tables(parts).to_pandas().to_numpy().T)
        at_once = np.asarray(getattr(estimator, method)(many)).reshape(len(many), -1)
    assert {chunks for chunks, answer in predicted.items() if answer.tobytes() != predicted[1].tobytes()} == set()
    exact = any(word in name for word in ("preset", "forest", "boosting"))
    np.testing.assert_allclose(predicted[1], at_once, rtol=0 if exact else 1e-12, atol=0)


def test_methods_are_in_the_order_in_which_auto_chooses(table: pa.Table, labels: np.ndarray) -> None:
    assert methods_of(build_preset("sparse_logistic").fit(table, labels)) == (
        "predict_proba",
        "predict",
        "decision_function",
    )
    assert methods_of(with_preprocessing(RidgeClassifier()).fit(table, labels)) == ("predict", "decision_function")
    assert methods_of(with_preprocessing(LinearRegression()).fit(table, labels)) == ("predict",)


def test_output_columns_are_named_after_target_and_class() -> None:
    logistic = LogisticRegression()
    assert names(logistic, late(), "predict_proba") == [
        ("late_proba_false", "double", 0),
        ("late_proba_true", "double", 1),
    ]
    assert names(logistic, late(), "decision_function") == [("late_decision", "double", None)]
    assert names(logistic, late(("a", "b", "c"), "string"), "decision_function")[2] == ("late_decision_c", "double", 2)
    assert names(logistic, late((0.0, 1.0), "double"), "predict_proba")[1][0] == "late_proba_1"


@pytest.mark.parametrize(
    ("arrow_type", "expected"),
    [
        ("int8", "int64"),
        ("uint32", "int64"),
        ("bool", "bool"),
        ("string", "string"),
        ("float", "double"),
        ("decimal128(3, 0)", "double"),
    ],
)
def test_labels_come_back_in_the_targets_type(arrow_type: str, expected: str) -> None:
    assert names(LogisticRegression(), late(arrow_type=arrow_type), "predict") == [("late_pred", expected, None)]


def test_a_regression_predicts_doubles() -> None:
    target = Target(name="seats", arrow_type="int64", task="regression")
    assert names(LinearRegression(), target, "predict") == [("seats_pred", "double", None)]


def test_a_method_that_the_model_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(UserError, match=r"no predict_proba.*'predict', 'decision_function'"):
        output_columns(RidgeClassifier(), late(), "predict_proba")


@pytest.mark.parametrize("words", [["no", "yes"], [3, 7], [False, True], [0.0, 1.0]], ids=str)
def test_predicted_labels_round_trip_through_arrow(words: list[Any], table: pa.Table, labels: np.ndarray) -> None:
    dtype = object if isinstance(words[0], str) else None
    y = np.array([words[int(label)] for label in labels], dtype=dtype)
    estimator = build_preset("sparse_logistic").fit(table, y)
    target = learn_target(pa.array(y.tolist()), "late", True, estimator.classes_)
    outputs = output_columns(estimator, target, "predict")
    (column,) = to_arrow(predict_arrays(estimator, table, outputs), outputs)
    assert column.to_pylist() == estimator.predict(table).tolist()
    assert str(column.type) == outputs[0].arrow_type


def test_an_answer_of_another_shape_is_refused(table: pa.Table, labels: np.ndarray) -> None:
    estimator = build_preset("sparse_logistic").fit(table, labels)
    three = [OutputColumn(name=f"p{i}", arrow_type="double", method="predict_proba", index=i) for i in range(3)]
    with pytest.raises(UserError, match=r"shape \(600, 2\).*\(600, 3\)"):
        predict_arrays(estimator, table, three)


def test_an_estimator_that_drops_rows_is_refused(table: pa.Table, labels: np.ndarray) -> None:
    inner = make_pipeline(FunctionTransformer(lambda frame: frame[["seats"]].iloc[1:]), LinearRegression())
    inner[-1].fit(to_frame(table, learn_features(table))[["seats"]], labels)
    outputs = [OutputColumn(name="p", arrow_type="double", method="predict")]
    with pytest.raises(UserError, match=r"600 rows with the shape \(599,\)"):
        predict_arrays(inner, to_frame(table, learn_features(table)), outputs)


def test_one_against_one_decisions_are_refused(table: pa.Table) -> None:
    labels = np.array([value or "none" for value in table["city"].to_pylist()], dtype=object)
    estimator = with_preprocessing(SVC(decision_function_shape="ovo")).fit(table, labels)
    outputs = output_columns(
        estimator, learn_target(pa.array(labels), "city", True, estimator.classes_), "decision_function"
    )
    with pytest.raises(UserError, match=r"shape \(600, 6\)"):
        predict_arrays(estimator, table, outputs)


def test_a_short_batch_repeats_its_last_row(table: pa.Table) -> None:
    padded = fixed_shape(table.slice(0, 3), 8)
    assert padded.schema == table.schema
    assert padded.slice(0, 3).equals(table.slice(0, 3))
    assert padded.slice(3).to_pylist() == [table.slice(2, 1).to_pylist()[0]] * 5


def test_a_full_batch_is_left_alone(table: pa.Table) -> None:
    assert fixed_shape(table, len(table)) is table


@pytest.mark.parametrize("rows", [0, 9])
def test_a_batch_that_does_not_fit_is_refused(rows: int, table: pa.Table) -> None:
    with pytest.raises(ValueError, match="fixed shape of 8 rows"):
        fixed_shape(table.slice(0, rows), 8)


def test_a_table_without_rows_gives_typed_columns(table: pa.Table, labels: np.ndarray) -> None:
    estimator = build_preset("sparse_logistic").fit(table, labels)
    outputs = output_columns(estimator, late(), "predict")
    empty = predict_table(estimator, table.slice(0, 0), learn_features(table), outputs)
    assert empty.schema == pa.schema([("late_pred", pa.bool_())])
    assert len(empty) == 0


def test_batches_are_smaller_for_wide_tables() -> None:
    found = [batch_rows_for(n) for n in (1, 30, 256, 257, 1_000, 100_000)]
    assert found == [16_384, 16_384, 16_384, 8_192, 4_096, 1_024]
