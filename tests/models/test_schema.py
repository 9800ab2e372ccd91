from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_sklearn.contract.schema import Distribution, Feature, FeatureSchema, Target
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.schema import MAX_LEVELS, learn_features, learn_target, read_columns, target_values


def learn(column: Any) -> Feature:
    return learn_features(pa.table({"x": column}))[0]


def test_kinds_and_types_follow_the_table(table: pa.Table) -> None:
    assert [(feature.name, feature.kind, feature.arrow_type) for feature in learn_features(table)] == [
        ("distance", "numeric", "double"),
        ("seats", "numeric", "int64"),
        ("insured", "boolean", "bool"),
        ("city", "categorical", "string"),
        ("carrier", "categorical", "string"),
        ("leaves", "datetime", "timestamp[us]"),
        ("built", "datetime", "date32[day]"),
    ]


def test_nulls_are_counted_in_every_kind(table: pa.Table) -> None:
    for feature in learn_features(table):
        assert feature.null_count == table[feature.name].null_count
        assert feature.null_rate == feature.null_count / len(table)


def test_a_nan_counts_as_a_null() -> None:
    feature = learn(pa.array([1.0, np.nan, None]))
    assert (feature.null_count, feature.minimum, feature.maximum) == (2, 1.0, 1.0)


def test_levels_are_sorted_and_counted() -> None:
    feature = learn(pa.array(["b", "a", None, "b", ""]))
    assert feature.levels == ("", "a", "b")
    assert feature.distribution.counts == (1, 1, 2)


def test_more_levels_than_the_limit_are_text() -> None:
    at_limit = [str(i) for i in range(MAX_LEVELS)]
    assert learn(pa.array(at_limit)).kind == "categorical"
    text = learn(pa.array([*at_limit, "one more", None]))
    assert (text.kind, text.levels, text.null_count) == ("text", None, 1)


def test_bins_hold_equal_shares_and_all_rows() -> None:
    feature = learn(pa.array(np.random.default_rng(0).exponential(size=10_000)))
    assert len(feature.distribution.edges) == 21
    assert sum(feature.distribution.counts) == 10_000
    assert set(feature.distribution.counts) <= {499, 500, 501}
    assert (feature.minimum, feature.maximum) == (feature.distribution.edges[0], feature.distribution.edges[-1])


def test_few_values_have_a_bin_each() -> None:
    assert learn(pa.array([7, 7, 7])).distribution == Distribution(edges=(7, 7), counts=(3,))
    assert learn(pa.array([0] * 98 + [1, 3])).distribution == Distribution(edges=(0, 1, 3, 3), counts=(98, 1, 1))


def test_large_integers_keep_their_exact_range() -> None:
    feature = learn(pa.array([2**53 + 1, 0]))
    assert feature.maximum == 2**53 + 1


def test_infinity_never_enters_the_document() -> None:
    feature = learn(pa.array([1.0, np.inf, 2.0]))
    assert (feature.minimum, feature.maximum) == (1.0, 2.0)


def test_dates_have_a_range_in_iso_8601() -> None:
    assert learn(pa.array([dt.date(2013, 1, 2), None])).minimum == "2013-01-02"
    assert learn(pa.array([0], pa.timestamp("s"))).maximum == "1970-01-01T00:00:00.000000"
    zoned = learn(pa.array([0], pa.timestamp("us", tz="Asia/Tokyo")))
    assert (zoned.arrow_type, zoned.maximum) == ("timestamp[us, tz=Asia/Tokyo]", "1970-01-01T00:00:00.000000+00:00")


@pytest.mark.parametrize(
    "nothing", [pa.nulls(2), pa.nulls(2, pa.int64()), pa.nulls(2, pa.string()), pa.nulls(2, pa.date32())]
)
def test_all_null_columns_have_no_range(nothing: pa.Array) -> None:
    feature = learn(nothing)
    assert (feature.null_rate, feature.minimum, feature.maximum) == (1.0, None, None)


def test_a_table_without_rows_has_features(table: pa.Table) -> None:
    empty = learn_features(table.slice(0, 0))
    assert [feature.name for feature in empty] == table.schema.names
    assert {feature.null_rate for feature in empty} == {0.0}


def test_columns_that_can_not_be_features_are_all_named() -> None:
    with pytest.raises(UserError, match=r"'tags'.*'raw'.*excluded_columns=\['at', 'raw', 'tags'\]"):
        learn_features(pa.table({"tags": [["a"]], "x": [1], "raw": [b"x"], "at": [dt.time(1)]}))


def test_the_schema_survives_its_document(table: pa.Table) -> None:
    schema = FeatureSchema(features=learn_features(table), targets=())
    assert FeatureSchema.model_validate_json(schema.model_dump_json()) == schema


def test_features_are_read_as_types_that_hold_any_chunk(table: pa.Table) -> None:
    text = pa.array([str(i) for i in range(MAX_LEVELS + 1)])
    features = (*learn_features(table), learn(pa.array([2**60])).model_copy(update={"name": "id"}))
    features += (learn(text).model_copy(update={"name": "text"}),)
    assert read_columns(FeatureSchema(features=features, targets=())) == (
        ("distance", "double", False),
        ("seats", "double", False),
        ("insured", "bool", False),
        ("city", "string", True),
        ("carrier", "string", True),
        ("leaves", "timestamp[us]", False),
        ("built", "date32[day]", False),
        ("id", "int64", False),
        ("text", "string", False),
    )


def test_a_target_keeps_its_type_and_classes() -> None:
    column = pa.array(["no", "yes"]).dictionary_encode()
    target = learn_target(column, "late", True, np.array(["no", "yes"], dtype=object))
    assert target == Target(name="late", arrow_type="string", task="classification", classes=("no", "yes"))
    assert learn_target(pa.array([1.5]), "delay", False).classes == ()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, 0], pa.int8()), np.array([1, 0])),
        (pa.array([True, False]), np.array([True, False])),
        (pa.array(["b", "a"]).dictionary_encode(), np.array(["b", "a"], dtype=object)),
        (pa.chunked_array([[1.0], [0.0]]), np.array([1.0, 0.0])),
    ],
)
def test_labels_are_of_plain_types(column: Any, expected: np.ndarray) -> None:
    found = target_values(column, "y", is_classifier=True)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()


def test_a_regressor_gets_doubles() -> None:
    assert target_values(pa.array([Decimal("1.5"), Decimal("2.0")]), "y", is_classifier=False).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("column", "is_classifier", "message"),
    [
        (pa.array([1, None]), True, "nulls"),
        (pa.array([1.0, np.nan]), False, "nulls"),
        (pa.array([1, 1]), True, "one class only"),
        (pa.array([0.5, 1.0]), True, r"fractions such as 0\.5"),
        (pa.array(["a", "b"]), False, "use a classifier"),
        (pa.array([dt.date(2013, 1, 1), dt.date(2013, 1, 2)]), True, "holds dates, and labels are"),
    ],
)
def test_targets_that_can_not_be_learned_are_refused(column: Any, is_classifier: bool, message: str) -> None:
    with pytest.raises(UserError, match=f"'y'.*{message}"):
        target_values(column, "y", is_classifier)
