from __future__ import annotations

import datetime as dt
import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse as sp
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.schema import learn_features

VARIANTS: list[dict[str, Any]] = [
    {"sparse": True},
    {"sparse": False},
    {"sparse": True, "scale": False},
    {"dates": "cyclic"},
    {"categories": "ordinal", "impute": None, "scale": False},
    {"categories": "ordinal"},
    {"categories": "native", "impute": None, "scale": False},
    {"min_frequency": 0.3, "expand": ["city", "seats"], "text": ["carrier"], "text_columns": 4},
]


def dense(matrix: Any) -> np.ndarray:
    if isinstance(matrix, pd.DataFrame):
        return matrix.to_numpy(dtype=np.float64)
    return matrix.toarray() if sp.issparse(matrix) else matrix


def same_bits(left: Any, right: Any) -> bool:
    return dense(left).tobytes() == dense(right).tobytes()


def column(preprocessor: TablePreprocessor, matrix: Any, name: str) -> list[float]:
    return dense(matrix)[:, preprocessor.get_feature_names_out().tolist().index(name)].tolist()


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_frames_and_arrow_give_the_same_bits(table: pa.Table, params: dict[str, Any]) -> None:
    frame = to_frame(table, learn_features(table))
    on_arrow, on_frame = TablePreprocessor(**params).fit(table), TablePreprocessor(**params).fit(frame)
    expected = on_arrow.transform(table)
    assert dense(expected).shape == (len(table), len(on_arrow.get_feature_names_out()))
    decoded = pa.table(
        {n: c.cast("string") if n == "city" else c for n, c in zip(table.schema.names, table.columns, strict=True)}
    )
    categorical = frame.astype({"city": "category"})
    for other in [frame, decoded, categorical, table.combine_chunks().to_batches()[0]]:
        assert same_bits(on_arrow.transform(other), expected)
        assert same_bits(on_frame.transform(other), expected)


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_rows_do_not_depend_on_their_neighbours(table: pa.Table, params: dict[str, Any]) -> None:
    preprocessor = TablePreprocessor(**params).fit(table)
    whole = dense(preprocessor.transform(table))
    single = np.vstack([dense(preprocessor.transform(table.slice(i, 1))) for i in range(50)])
    in_chunks = dense(preprocessor.transform(pa.concat_tables([table.slice(0, 7), table.slice(7, 93)])))
    assert same_bits(single, whole[:50])
    assert same_bits(in_chunks, whole[:100])


def test_sparse_and_dense_agree(table: pa.Table) -> None:
    matrices = [TablePreprocessor(sparse=sparse).fit_transform(table) for sparse in (True, False)]
    assert [sp.issparse(matrix) for matrix in matrices] == [True, False]
    assert same_bits(*matrices)
    assert matrices[0].has_canonical_format


def test_it_agrees_with_scikit_learns_own_transformers(table: pa.Table) -> None:
    features = learn_features(table)
    frame = to_frame(table, features)[["distance", "seats", "carrier"]]
    theirs = make_column_transformer(
        (make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)), ["distance", "seats"]),
        (OneHotEncoder(sparse_output=False), ["carrier"]),
    ).fit_transform(frame)
    np.testing.assert_allclose(dense(TablePreprocessor().fit_transform(frame)), theirs, rtol=0, atol=1e-12)


def test_names_tell_what_each_column_is(table: pa.Table) -> None:
    preprocessor = TablePreprocessor().fit(table)
    assert preprocessor.get_feature_names_out().tolist() == [
        *["distance", "seats", "insured"],
        *["leaves:year", "leaves:month", "leaves:day", "leaves:weekday", "leaves:hour", "built:year", "built:weekday"],
        *["distance is null", "insured is null", "leaves is null"],
        *["city=", "city=Aosta", "city=Bonn", "city=Çeşme", "city is null"],
        *["carrier=AA", "carrier=B6", "carrier=UA"],
    ]


def test_nulls_are_imputed_with_the_mean_and_flagged() -> None:
    preprocessor = TablePreprocessor(scale=False)
    matrix = preprocessor.fit_transform(pd.DataFrame({"x": [1.0, None, 3.0]}))
    assert column(preprocessor, matrix, "x") == [1.0, 2.0, 3.0]
    assert column(preprocessor, matrix, "x is null") == [0.0, 1.0, 0.0]


def test_a_null_that_training_did_not_have_is_the_mean() -> None:
    preprocessor = TablePreprocessor(scale=False).fit(pd.DataFrame({"x": [1.0, 3.0]}))
    assert dense(preprocessor.transform(pd.DataFrame({"x": [None]}, dtype=float))).tolist() == [[2.0]]


@pytest.mark.parametrize("sparse", [True, False])
def test_unseen_levels_are_zeros_everywhere(sparse: bool) -> None:
    preprocessor = TablePreprocessor(sparse=sparse).fit(pd.DataFrame({"c": ["a", "b", None], "d": ["x", "y", "x"]}))
    found = dense(preprocessor.transform(pd.DataFrame({"c": ["new", None, "b"], "d": ["x", None, "new"]})))
    assert found.tolist() == [[0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


def test_ordinal_levels_are_in_sorted_order_and_nan_where_unknown() -> None:
    preprocessor = TablePreprocessor(categories="ordinal", impute=None, scale=False).fit(
        pd.DataFrame({"c": ["b", "a"]})
    )
    found = preprocessor.transform(pd.DataFrame({"c": ["a", "b", "new", None]}))[:, 0].tolist()
    assert found[:2] == [0.0, 1.0]
    assert all(math.isnan(value) for value in found[2:])


def test_ordinal_levels_are_minus_one_where_unknown_when_imputing() -> None:
    preprocessor = TablePreprocessor(categories="ordinal", scale=False).fit(pd.DataFrame({"c": ["b", "a"]}))
    assert preprocessor.transform(pd.DataFrame({"c": ["new", None, "b"]}))[:, 0].tolist() == [-1.0, -1.0, 1.0]


def test_parts_of_a_date_that_never_vary_are_left_out() -> None:
    days = pd.DataFrame({"day": pd.to_datetime(["2013-05-01", "2013-05-02"])})
    assert TablePreprocessor().fit(days).get_feature_names_out().tolist() == ["day:day", "day:weekday"]


def test_cyclic_dates_lie_on_the_unit_circle() -> None:
    months = pd.DataFrame({"t": pd.to_datetime(["2013-01-01", "2013-06-01", "2013-12-01", None])})
    preprocessor = TablePreprocessor(dates="cyclic", scale=False, sparse=False)
    matrix = preprocessor.fit_transform(months)
    radius = np.hypot(column(preprocessor, matrix, "t:month_sin"), column(preprocessor, matrix, "t:month_cos"))
    np.testing.assert_allclose(radius[:3], 1.0)


def test_a_constant_column_is_zero_when_it_is_kept_and_scaled() -> None:
    constant = pd.DataFrame({"x": [0.1] * 7})
    assert dense(TablePreprocessor(constants="keep").fit_transform(constant)).ravel().tolist() == pytest.approx(
        [0.0] * 7, abs=1e-15
    )


def test_columns_that_are_all_null_in_training_are_taken() -> None:
    nothing = pa.table({"x": pa.nulls(3), "s": pa.nulls(3, pa.string()), "t": pa.nulls(3, pa.timestamp("us"))})
    preprocessor = TablePreprocessor().fit(nothing)
    assert np.isfinite(dense(preprocessor.transform(nothing))).all()
    seen = pa.table({"x": [1.0], "s": ["a"], "t": pa.array([dt.datetime(2013, 1, 1)])})
    assert np.isfinite(dense(preprocessor.transform(seen))).all()


def test_a_chunk_of_nulls_fits_whatever_its_type(table: pa.Table) -> None:
    preprocessor = TablePreprocessor().fit(table)
    typed = pa.table({field.name: pa.nulls(2, field.type) for field in table.schema})
    untyped = pa.table({field.name: pa.nulls(2) for field in table.schema})
    floats = pd.DataFrame({name: [np.nan, np.nan] for name in table.schema.names})
    assert same_bits(preprocessor.transform(untyped), preprocessor.transform(typed))
    assert same_bits(preprocessor.transform(floats), preprocessor.transform(typed))


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_no_rows_give_no_rows(table: pa.Table, params: dict[str, Any]) -> None:
    preprocessor = TablePreprocessor(**params).fit(table)
    assert preprocessor.transform(table.slice(0, 0)).shape == (0, len(preprocessor.get_feature_names_out()))


def test_columns_are_matched_by_name(table: pa.Table) -> None:
    preprocessor = TablePreprocessor().fit(table)
    reordered = table.select(list(reversed(table.schema.names)))
    assert same_bits(preprocessor.transform(reordered), preprocessor.transform(table))


def test_all_that_is_wrong_with_the_columns_is_one_error(table: pa.Table) -> None:
    preprocessor = TablePreprocessor().fit(table)
    wrong = table.drop_columns(["city", "seats"]).append_column("new", pa.nulls(len(table)))
    wrong = wrong.set_column(0, "distance", pa.array(["far"] * len(table)))
    with pytest.raises(
        ValueError, match=r"missing: \['seats', 'city'\].*\['new'\].*'distance' was numeric .* string now"
    ):
        preprocessor.transform(wrong)


def test_many_levels_warn_and_too_many_are_refused() -> None:
    frame = pd.DataFrame({"key": [f"k{i}" for i in range(60)], "id": [f"i{i}" for i in range(60)], "n": range(60)})
    with pytest.warns(UserWarning, match="'key': 60, 'id': 60"):
        TablePreprocessor(warn_levels=59).fit(frame)
    with pytest.raises(ValueError, match=r"more than 59 levels: \['key', 'id'\].*excluded_columns"):
        TablePreprocessor(max_levels=59, encoder="error").fit(frame)


def test_infinite_numbers_are_named_in_training_and_in_prediction() -> None:
    with pytest.raises(ValueError, match=r"\['x'\]"):
        TablePreprocessor().fit(pd.DataFrame({"x": [1.0, np.inf], "y": [1.0, 2.0]}))
    preprocessor = TablePreprocessor().fit(pd.DataFrame({"x": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="'x': 1"):
        preprocessor.transform(pd.DataFrame({"x": [1.0, -np.inf]}))


def test_nested_columns_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="'tags': 'list"):
        TablePreprocessor().fit(pa.table({"tags": [["a"]], "x": [1]}))


@pytest.mark.parametrize("params", [{"categories": "hash"}, {"impute": "mode"}, {"dates": "no"}, {"sparse": "yes"}])
def test_unknown_parameters_are_refused_in_fit(table: pa.Table, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=repr(next(iter(params.values())))):
        TablePreprocessor(**params).fit(table)


def test_a_table_without_rows_can_not_be_learned_from(table: pa.Table) -> None:
    with pytest.raises(ValueError, match="without rows"):
        TablePreprocessor().fit(table.slice(0, 0))


def test_transform_before_fit_is_refused(table: pa.Table) -> None:
    with pytest.raises(NotFittedError):
        TablePreprocessor().transform(table)


def test_it_is_cloned_unfitted_with_its_parameters(table: pa.Table) -> None:
    preprocessor = TablePreprocessor(categories="ordinal", warn_levels=7).fit(table)
    copy = clone(preprocessor)
    assert copy.get_params() == preprocessor.get_params()
    assert not hasattr(copy, "numbers_")


def test_it_gives_named_frames_when_asked(table: pa.Table) -> None:
    preprocessor = TablePreprocessor(sparse=False).set_output(transform="pandas").fit(table)
    assert list(preprocessor.transform(table).columns) == preprocessor.get_feature_names_out().tolist()


def test_what_it_learned_is_plain() -> None:
    """skops persists lists, dicts, numbers, strings and numpy arrays without being told to trust anything."""
    frame = pd.DataFrame({"x": [1.0, None], "c": ["a", None], "t": pd.to_datetime(["2013-01-01", "2014-02-02"])})
    preprocessor = TablePreprocessor().fit(frame)

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(plain, value.items()))
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return value is None or type(value) in (np.ndarray, str, int, float, bool)

    assert [name for name, value in vars(preprocessor).items() if not plain(value)] == []
    assert same_bits(pickle.loads(pickle.dumps(preprocessor)).transform(frame), preprocessor.transform(frame))


@pytest.mark.parametrize("categories", ["onehot", "ordinal"])
def test_a_text_column_without_values_is_not_used_whatever_comes_later(categories: Any) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0], "empty": pa.nulls(3, pa.string())})
    preprocessor = TablePreprocessor(categories=categories, sparse=False)
    with pytest.warns(UserWarning, match="not used: \\['empty'\\]"):
        preprocessor.fit(table)
    assert preprocessor.get_feature_names_out().tolist() == ["x"]
    assert preprocessor.transform(table.set_column(1, "empty", [["a", None, "b"]])).shape == (3, 1)
