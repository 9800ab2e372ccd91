from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.preprocessing import TargetEncoder

from airflow_sklearn.models.levels import TargetNumbers, as_levels, words_per_value


@pytest.mark.parametrize("target", ["numbers", "two classes", "three classes"])
def test_levels_are_encoded_as_scikit_learn_does(target: str) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 20, 500)
    y = {
        "numbers": codes + random.normal(size=500),
        "two classes": np.where(random.random(500) < codes / 20, "yes", "no"),
        "three classes": random.choice(["a", "b", "c"], 500),
    }[target]
    numbers = TargetNumbers.of(y)
    assert numbers is not None
    theirs = TargetEncoder(target_type="continuous" if target == "numbers" else "auto").fit(codes[:, None], y)
    expected = np.column_stack(theirs.encodings_)
    np.testing.assert_allclose(numbers.table(codes, 20), expected, rtol=1e-9)


def test_a_code_without_rows_has_the_mean_of_all() -> None:
    numbers = TargetNumbers.of(np.array([1.0, 2.0, 6.0]))
    assert numbers is not None
    assert numbers.table(np.array([0, 0, 1]), 4)[2:, 0].tolist() == [3.0, 3.0]


def test_no_row_sees_its_own_target() -> None:
    """Levels without meaning must not tell the target: encoded in sample they correlate with it."""
    random = np.random.default_rng(0)
    codes, y = random.integers(0, 500, 1000), random.normal(size=1000)
    numbers = TargetNumbers.of(y)
    assert numbers is not None
    assert np.corrcoef(numbers.table(codes, 500)[codes, 0], y)[0, 1] > 0.5
    assert abs(np.corrcoef(numbers.across_folds(codes, 500, 0)[:, 0], y)[0, 1]) < 0.1


@pytest.mark.parametrize("values", [[3, 4, None], [3.0, 4.0, None], pd.Series([3.0, 4.0, np.nan])], ids=repr)
def test_numbers_are_the_same_levels_as_integers_and_as_doubles(values: object) -> None:
    assert as_levels(pa.array(values, from_pandas=True)).to_pylist() == ["3", "4", None]


def test_booleans_and_fractions_are_levels_too() -> None:
    assert as_levels(pa.chunked_array([[True], [False]])).to_pylist() == ["1", "0"]
    assert as_levels(pa.array([0.5, 2.0**60])).to_pylist() == ["0.5", str(2**60)]


def test_words_are_counted_over_distinct_values() -> None:
    assert words_per_value(pa.array(["one two three", "one two three", "one", None])) == 2.0
