"""What users can choose, and the situations that a table can be in. Each has a test, whoever met it first."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse as sp
from sklearn.utils.estimator_checks import parametrize_with_checks

from airflow_sklearn.models.preprocessing import TablePreprocessor


@parametrize_with_checks(
    [
        TablePreprocessor(),
        TablePreprocessor(sparse=False, constants="keep"),
        TablePreprocessor(categories="ordinal", impute=None, scale=False),
    ]
)
def test_it_keeps_scikit_learns_rules(estimator: Any, check: Any) -> None:
    check(estimator)


def named(preprocessor: TablePreprocessor, matrix: Any) -> dict[str, list[float]]:
    values = matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix, dtype=float)
    return dict(zip(preprocessor.get_feature_names_out().tolist(), values.T.tolist(), strict=True))


def fitted(table: Any, y: Any = None, **params: Any) -> tuple[TablePreprocessor, dict[str, list[float]]]:
    preprocessor = TablePreprocessor(scale=False, **params).fit(table, y)
    return preprocessor, named(preprocessor, preprocessor.transform(table))


# ---------------------------------------------------------------------- which columns are expanded

TABLE = pd.DataFrame({"n": [1, 2, 1, 2], "c": ["a", "b", "a", None], "d": ["x", "y", "x", "x"]})
Y = np.array([1.0, 3.0, 1.0, 3.0])


def test_categories_are_expanded_automatically() -> None:
    assert list(fitted(TABLE)[1]) == ["n", "c=a", "c=b", "c is null", "d=x", "d=y"]


def test_listed_columns_are_expanded_also_numbers_and_the_others_encoded() -> None:
    _, found = fitted(TABLE, Y, expand=["n", "d"])
    assert list(found) == ["c:target", "n=1", "n=2", "d=x", "d=y"]
    assert found["n=1"] == [1, 0, 1, 0]


def test_no_column_is_expanded() -> None:
    assert list(fitted(TABLE, Y, expand="none")[1]) == ["n", "c:target", "d:target"]
    assert list(fitted(TABLE, Y, expand="none", encoder="drop")[1]) == ["n"]


def test_expanded_numbers_are_found_again_as_doubles() -> None:
    preprocessor = TablePreprocessor(expand=["n"]).fit(TABLE[["n"]])
    doubles = preprocessor.transform(pd.DataFrame({"n": [1.0, np.nan, 2.0]}))
    assert named(preprocessor, doubles) == {"n=1": [1, 0, 0], "n=2": [0, 0, 1]}


def test_booleans_are_numbers_or_categories_as_listed() -> None:
    table = pd.DataFrame({"b": pd.array([True, False, None], "boolean")})
    assert list(fitted(table)[1]) == ["b", "b is null"]
    assert list(fitted(table, expand=["b"])[1]) == ["b=0", "b=1", "b is null"]


def test_columns_that_do_not_exist_are_named_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"expand: there is no column 'cc'. Did you mean 'c'\?.*text: .*'dd'"):
        TablePreprocessor(expand=["cc"], text=["dd"]).fit(TABLE)


def test_a_date_is_not_expanded() -> None:
    with pytest.raises(ValueError, match="'day' is a date"):
        TablePreprocessor(expand=["day"]).fit(pa.table({"day": [dt.date(2020, 1, 1), dt.date(2021, 1, 1)]}))


# ---------------------------------------------------------------------- nulls


def test_nulls_have_an_indicator_in_all_columns_in_expanded_ones_or_in_none() -> None:
    table = pd.DataFrame({"n": [1.0, None, 3.0], "c": ["a", None, "b"]})
    assert list(fitted(table)[1]) == ["n", "n is null", "c=a", "c=b", "c is null"]
    assert list(fitted(table, null_indicators="expanded")[1]) == ["n", "c=a", "c=b", "c is null"]
    assert list(fitted(table, null_indicators="none")[1]) == ["n", "c=a", "c=b"]


@pytest.mark.parametrize(("impute", "expected"), [("mean", 4.0), ("median", 2.0), (-1, -1.0), (0.5, 0.5)])
@pytest.mark.parametrize("scale", [True, False])
def test_nulls_are_filled(impute: Any, expected: float, scale: bool) -> None:
    table = pd.DataFrame({"n": [1.0, 2.0, 9.0, None]})
    preprocessor = TablePreprocessor(impute=impute, scale=scale, sparse=False).fit(table)
    found = preprocessor.transform(table)[3, 0]
    assert found == pytest.approx((expected - 4) / np.std([1, 2, 9]) if scale else expected)


def test_columns_of_nulls_are_dropped_warned_of_or_refused() -> None:
    table = pa.table({"x": [1.0, 2.0], "nothing": pa.nulls(2, pa.string())})
    with pytest.warns(UserWarning, match=r"null in every row, and are not used: \['nothing'\]"):
        assert list(fitted(table)[1]) == ["x"]
    assert list(fitted(table, null_columns="drop")[1]) == ["x"]
    with pytest.raises(ValueError, match=r"null in every row: \['nothing'\]"):
        fitted(table, null_columns="error")


def test_nulls_that_only_prediction_has_are_zeros_and_the_mean() -> None:
    preprocessor, _ = fitted(pd.DataFrame({"n": [1.0, 3.0], "c": ["a", "b"]}))
    found = named(preprocessor, preprocessor.transform(pd.DataFrame({"n": [np.nan], "c": [None]})))
    assert found == {"n": [2.0], "c=a": [0.0], "c=b": [0.0]}


# ---------------------------------------------------------------------- levels


def test_five_hundred_levels_warn_and_five_thousand_become_numbers() -> None:
    many = pd.DataFrame({"c": [f"{i:05}" for i in range(501)], "n": range(501)})
    with pytest.warns(UserWarning, match="more than 500 levels: {'c': 501}"):
        assert len(fitted(many)[1]) == 502
    more = pd.DataFrame({"c": [f"{i % 5001:05}" for i in range(10_002)]})
    with pytest.warns(UserWarning, match=r"mean of the target \(levels\): {'c': 5001}"):
        assert list(fitted(more, np.arange(10_002.0))[1]) == ["c:target"]


def test_many_levels_are_the_share_of_rows_without_a_target() -> None:
    with pytest.warns(UserWarning, match="share of rows"):
        preprocessor, found = fitted(pd.DataFrame({"c": ["a", "a", "b", "b", "b", "c"]}), max_levels=2)
    assert found["c:frequency"] == pytest.approx([2 / 6, 2 / 6, 3 / 6, 3 / 6, 3 / 6, 1 / 6])
    assert preprocessor.levels_ == {"c": ["a", "b"]}  # c's single row stands for levels to come


def test_each_of_several_classes_is_a_number() -> None:
    names = list(fitted(TABLE, np.array(["u", "v", "w", "u"]), expand="none")[1])
    assert names[1:4] == ["c:target=u", "c:target=v", "c:target=w"]


def test_rare_levels_are_one_level_which_unseen_ones_join() -> None:
    table = pd.DataFrame({"c": ["a", "a", "b", "b", "x", "y"]})
    preprocessor, found = fitted(table, min_frequency=2)
    assert found == {"c=a": [1, 1, 0, 0, 0, 0], "c=b": [0, 0, 1, 1, 0, 0], "c is rare": [0, 0, 0, 0, 1, 1]}
    unseen = named(preprocessor, preprocessor.transform(pd.DataFrame({"c": ["new", None]})))
    assert unseen == {"c=a": [0, 0], "c=b": [0, 0], "c is rare": [1, 0]}
    assert list(fitted(table, min_frequency=0.3)[1]) == list(found)


@pytest.mark.parametrize("categories", ["ordinal", "native"])
def test_rare_levels_are_one_number_too(categories: Any) -> None:
    preprocessor = TablePreprocessor(categories=categories, impute=None, scale=False, min_frequency=2)
    preprocessor.fit(pd.DataFrame({"c": ["a", "a", "b", "b", "x"]}))
    found = named(preprocessor, preprocessor.transform(pd.DataFrame({"c": ["b", "new", "x", None]})))["c"]
    assert found[:3] == [1.0, 2.0, 2.0]
    assert math.isnan(found[3])


def test_unseen_levels_are_zeros() -> None:
    preprocessor, _ = fitted(pd.DataFrame({"c": ["a", "b"]}))
    assert named(preprocessor, preprocessor.transform(pd.DataFrame({"c": ["new"]}))) == {"c=a": [0], "c=b": [0]}


def test_ordered_levels_keep_their_order() -> None:
    sizes = pd.Categorical(["s", "l", "m"], ["s", "m", "l"], ordered=True)
    assert list(fitted(pd.DataFrame({"c": sizes}))[1]) == ["c=s", "c=m", "c=l"]
    _, found = fitted(pd.DataFrame({"c": sizes}), categories="native", impute=None)
    assert found["c"] == [0.0, 2.0, 1.0]


def test_a_column_of_mixed_types_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Column 'm' has no one type.*astype\(str\)"):
        TablePreprocessor().fit(pd.DataFrame({"m": [1, "a", 2.5]}))


def test_categories_of_mixed_types_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Column 'm' has no one type"):
        TablePreprocessor().fit(pd.DataFrame({"m": pd.Categorical([1, "a", 2.5])}))


# ---------------------------------------------------------------------- order, names, frames and arrays


def test_order_does_not_matter_and_names_do() -> None:
    preprocessor, found = fitted(TABLE)
    assert named(preprocessor, preprocessor.transform(TABLE[["d", "n", "c"]])) == found
    with pytest.raises(ValueError, match=r"not seen in training: \['extra'\]"):
        preprocessor.transform(TABLE.assign(extra=1))


def test_frames_or_arrays_come_out_as_asked() -> None:
    assert isinstance(TablePreprocessor(sparse=False).fit_transform(TABLE), np.ndarray)
    assert sp.issparse(TablePreprocessor(sparse=True).fit_transform(TABLE))
    frame = TablePreprocessor(sparse=False).set_output(transform="pandas").fit_transform(TABLE)
    assert list(frame.columns) == ["n", "c=a", "c=b", "c is null", "d=x", "d=y"]


def test_a_matrix_has_numbered_columns() -> None:
    preprocessor = TablePreprocessor(scale=False, sparse=False)
    assert preprocessor.fit_transform([[1, 5], [2, 7]]).tolist() == [[1, 5], [2, 7]]
    assert preprocessor.get_feature_names_out().tolist() == ["x0", "x1"]


# ---------------------------------------------------------------------- constants, integers, dates, text


def test_constants_are_dropped_and_told_unless_kept() -> None:
    table = pd.DataFrame({"x": [1.0, 2.0], "same": ["k", "k"], "one": [7, 7], "half": ["k", None]})
    with pytest.warns(UserWarning, match=r"same value in every row, and are not used: \['same', 'one'\]"):
        assert list(fitted(table)[1]) == ["x", "half=k", "half is null"]
    assert list(fitted(table, constants="keep")[1])[:2] == ["x", "one"]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_integers_that_a_double_cannot_hold_are_told_apart(kind: pa.DataType) -> None:
    table = pa.table({"id": pa.array([2**60 + 1, 2**60 + 2, 2**60 + 4, None], kind)})
    _, found = fitted(table, impute=None, sparse=False)
    assert found["id"][:3] == [0.0, 1.0, 3.0]
    assert math.isnan(found["id"][3])


def test_integers_that_no_subtraction_helps_are_told() -> None:
    with pytest.warns(UserWarning, match=r"further apart than 2\*\*53, which are rounded: \['id'\]"):
        _, found = fitted(pa.table({"id": pa.array([-(2**62), 2**62 + 1])}))
    assert found["id"] == [0.0, 2.0**63]


def test_the_parts_of_dates_are_chosen() -> None:
    table = pa.table({"t": [dt.datetime(2020, 1, 31), dt.datetime(2021, 2, 28)], "x": [1, 2]})
    assert list(fitted(table)[1]) == ["x", "t:year", "t:month", "t:day", "t:weekday"]
    _, found = fitted(table, date_parts=["year", "days"])
    assert found == {"x": [1, 2], "t:year": [2020, 2021], "t:days": [18292, 18686]}
    assert list(fitted(table, date_parts=())[1]) == ["x"]
    with pytest.raises(ValueError, match="'moon' is no part of a date: give 'year'"):
        TablePreprocessor(date_parts=["moon"]).fit(table)


def test_texts_become_counts_of_words() -> None:
    texts = [f"the {a} cat sat on {b} mats" for a in ("red", "blue", "old") for b in range(20)]
    preprocessor, found = fitted(pd.DataFrame({"note": texts}), max_levels=50)
    assert list(found) == [f"note:word{i}" for i in range(64)]
    assert np.linalg.norm(list(found.values()), axis=0) == pytest.approx(np.ones(60))
    nothing = preprocessor.transform(pd.DataFrame({"note": [None, "the red cat"]}))
    assert not np.asarray(nothing.todense())[0].any()
    assert list(fitted(pd.DataFrame({"c": ["a", "b"]}), text=["c"], text_columns=2)[1]) == ["c:word0", "c:word1"]


def test_fit_transform_encodes_each_row_by_other_rows() -> None:
    random = np.random.default_rng(0)
    table, y = pd.DataFrame({"c": [str(i) for i in random.integers(0, 300, 900)]}), random.normal(size=900)
    preprocessor = TablePreprocessor(expand="none", sparse=False)
    apart = preprocessor.fit_transform(table, y)[:, 0]
    assert abs(np.corrcoef(apart, y)[0, 1]) < 0.15 < np.corrcoef(preprocessor.transform(table)[:, 0], y)[0, 1]
