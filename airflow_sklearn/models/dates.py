"""What a date says to an estimator: year, month, day, weekday and hour, as numbers or on a circle."""

from __future__ import annotations

import numpy as np

#: The parts of a date, and the number of values after which each starts again (the year never does).
PERIODS = {"year": 0, "month": 12, "day": 31, "weekday": 7, "hour": 24}

_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000


def date_part(microseconds: np.ndarray, part: str) -> np.ndarray:
    """One part of each moment, as int64 of shape (rows,).

    :param microseconds: int64 since 1970, UTC.
    :param part: year; month (1 to 12); day (1 to 31); weekday (0 is Monday); hour (0 to 23).
    """
    if part == "hour":
        return microseconds % _DAY // _HOUR
    days = microseconds // _DAY
    if part == "weekday":
        return (days + 3) % 7  # 1970 began on a Thursday
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    if part == "year":
        return months.astype(np.int64) // 12 + 1970
    if part == "month":
        return months.astype(np.int64) % 12 + 1
    if part == "day":
        return days - months.astype("datetime64[D]").astype(np.int64) + 1
    raise ValueError(f"{part!r} is no part of a date: use one of {list(PERIODS)}.")


def on_circle(values: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of a part's place in its period, so that December lies beside January.

    Taken from a table: the same value has the same bits wherever it stands in a batch.
    """
    period = PERIODS[part]
    angles = np.arange(period + 1) * (2 * np.pi / period)
    return np.sin(angles)[values], np.cos(angles)[values]
