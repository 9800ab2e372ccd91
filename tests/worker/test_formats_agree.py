"""CSV and Parquet of the same table are the same table, where the source says what CSV cannot."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_sklearn.contract.data import CsvOptions, SourceFiles
from airflow_sklearn.contract.problem_collector import ProblemCollector
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.schema import learn_features
from airflow_sklearn.worker.data.training import read_table
from tests.worker.data.helpers import STORAGE, stored
from tests.worker.workbench import Workbench

ROWS = 400


def learned(path: Path, file_format: Any, types: dict[str, str], **options: Any) -> tuple[Any, pd.DataFrame]:
    files = SourceFiles(uris=(f"file://{path}",), file_format=file_format, csv=CsvOptions(**options), types=types)
    table = read_table(STORAGE, files, [STORAGE.stat(f"file://{path}")], problems=ProblemCollector()).table
    features = learn_features(table)
    return features, to_frame(table, features)


def agree(tmp_path: Path, values: pa.Array, spelled: list[str], types: dict[str, str], **options: Any) -> None:
    pq.write_table(pa.table({"a": values}), tmp_path / "t.parquet")
    stored(tmp_path / "t.csv", "\n".join(["a;b", *(f"{text};x" for text in spelled), ""]).encode())
    features, frame = learned(tmp_path / "t.parquet", "parquet", {})
    csv_features, csv_frame = learned(tmp_path / "t.csv", "csv", types, delimiter=";", **options)
    assert csv_features[0] == features[0]
    pd.testing.assert_series_equal(csv_frame["a"], frame["a"], check_exact=True)


@pytest.mark.parametrize("options", [{}, {"decimal": ","}])
def test_decimals_are_the_nearest_doubles(tmp_path: Path, options: dict[str, str]) -> None:
    rng = random.Random(0)
    numbers = [Decimal(rng.randrange(-(10**15), 10**15)) / 10**8 for _ in range(ROWS)]
    spelled = [f"{number:.8f}".replace(".", options.get("decimal", ".")) for number in numbers]
    kind = pa.decimal128(20, 8)
    agree(tmp_path, pa.array(numbers, kind), spelled, {"a": str(kind)}, **options)
    frame = learned(tmp_path / "t.csv", "csv", {"a": str(kind)}, delimiter=";", **options)[1]
    assert frame["a"].tolist() == [float(number) for number in numbers]


def test_booleans_may_be_written_as_digits(tmp_path: Path) -> None:
    values = [i % 3 == 0 for i in range(ROWS)]
    agree(tmp_path, pa.array(values), [str(int(value)) for value in values], {"a": "bool"})
    agree(tmp_path, pa.array(values), [str(value) for value in values], {})
    agree(tmp_path, pa.array([*values, None]), [*(f"{value:d}.0" for value in values), "nan"], {"a": "bool"})


def test_nan_is_a_null(tmp_path: Path) -> None:
    values = [i / 7 for i in range(ROWS)]
    agree(tmp_path, pa.array([*values, float("nan"), None]), [*map(repr, values), "NaN", ""], {})


@pytest.mark.parametrize("ending", ["Z", " UTC", "+00:00", " +00:00", "+00"])
def test_moments_may_have_any_spelling_of_their_zone(tmp_path: Path, ending: str) -> None:
    moments = [dt.datetime(2024, 3, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=37 * i) for i in range(ROWS)]
    spelled = [f"{moment:%Y-%m-%d %H:%M:%S}{ending}" for moment in moments]
    agree(tmp_path, pa.array(moments, pa.timestamp("us", tz="UTC")), spelled, {})


def test_nanoseconds_are_times(tmp_path: Path) -> None:
    since = [1_700_000_000_000_000_000 + 123_456_789 * i for i in range(ROWS)]
    moments = pa.array(since).cast(pa.timestamp("ns"))
    agree(tmp_path, moments, moments.cast(pa.string()).to_pylist(), {})


def test_a_level_that_is_spelled_like_a_null_is_the_level_that_it_was(bench: Workbench) -> None:
    countries = [("NA", "DE", "", None)[i % 4] for i in range(ROWS)]
    other = [("NA", "n/a", "")[i % 3] for i in range(ROWS)]
    y = [int(a == "NA") ^ (i % 11 == 0) for i, a in enumerate(countries)]
    table = pa.table({"key": range(ROWS), "country": countries, "other": other, "y": y})
    bench.train(bench.write(table, "t.parquet"))
    known = table.filter(pc.not_equal(table["country"], "")).select(["key", "country", "other"])
    same = bench.predict(bench.write(known, "p.parquet"))
    assert bench.predict(bench.write(known, "p.csv")).equals(same)
