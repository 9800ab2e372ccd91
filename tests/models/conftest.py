from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest


def make_table(rows: int = 600, seed: int = 0) -> pa.Table:
    """Every kind of feature, with nulls in most of them; strings are dictionary-encoded, as a reader gives them."""
    random = np.random.default_rng(seed)
    cities = pa.array(["Bonn", "Aosta", "", "Çeşme"])
    city = pa.array(random.integers(0, 4, rows).astype(np.int32), mask=random.random(rows) < 0.1)
    moments = np.datetime64("2013-01-01", "us") + random.integers(0, 400 * 86_400, rows) * np.timedelta64(
        1_000_000, "us"
    )
    return pa.table(
        {
            "distance": pa.array(random.normal(1000, 300, rows), mask=random.random(rows) < 0.1),
            "seats": pa.array(random.integers(0, 300, rows)),
            "insured": pa.array(random.random(rows) < 0.3, mask=random.random(rows) < 0.05),
            "city": pa.DictionaryArray.from_arrays(city, cities),
            "carrier": pa.array(random.choice(["UA", "B6", "AA"], rows)),
            "leaves": pa.array(moments, pa.timestamp("us"), mask=random.random(rows) < 0.1),
            "built": pa.array([dt.date(1990 + int(year), 6, 1) for year in random.integers(0, 9, rows)]),
        }
    )


def make_labels(table: pa.Table, seed: int = 1) -> np.ndarray:
    """Two classes that depend on numbers and on a category, with noise."""
    distance = np.nan_to_num(table["distance"].to_numpy(), nan=1000.0)
    ua = np.array([value == "UA" for value in table["carrier"].to_pylist()])
    return distance + 400 * ua + np.random.default_rng(seed).normal(0, 200, len(distance)) > 1100


@pytest.fixture
def table() -> pa.Table:
    return make_table()


@pytest.fixture
def labels(table: pa.Table) -> np.ndarray:
    return make_labels(table)
