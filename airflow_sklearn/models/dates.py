"""Features of a date: year, month, day, weekday and hour, as numbers or as sine and cosine."""

from __future__ import annotations

import numpy as np

#: The parts of a date, and the period of each (the year has none).
PERIODS = {"year": 0, "month": 12, "day": 31, "weekday": 7, "hour": 24}

#: A further part, not in ``PERIODS``: days since 1970. It grows forever, so that later dates are new to a model.
DAYS = "days"

_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000


def date_part(microseconds: np.ndarray, part: str) -> np.ndarray:
    """One part of each moment, as int64 of shape (rows,).

    :param microseconds: int64 of shape (rows,): microseconds since 1970 in UTC.
    :param part: ``year``, ``month`` (1 to 12), ``day`` (1 to 31), ``weekday`` (0 is Monday), ``hour`` (0 to 23) or
        ``days`` (since 1970).
    """
    if part == "hour":
        return microseconds % _DAY // _HOUR
    days = microseconds // _DAY
    if part == DAYS:
        return days
    if part == "weekday":
        return (days + 3) % 7  # 1970 began on a Thursday
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    if part == "year":
        return months.astype(np.int64) // 12 + 1970
    if part == "month":
        return months.astype(np.int64) % 12 + 1
    if part == "day":
        return days - months.astype("datetime64[D]").astype(np.int64) + 1
    raise ValueError(f"{part!r} is no part of a date: use one of {[*PERIODS, DAYS]}.")


def on_circle(values: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of a part's position in its period, so that December is next to January.

    The values come from a table: the same value has the same bits wherever it is in a batch.

    :param values: int64 of shape (rows,), from ``date_part``.
    :param part: the part's name; not ``year``.
    :return: two arrays of float64 of shape (rows,).
    """
    period = PERIODS[part]
    angles = np.arange(period + 1) * (2 * np.pi / period)
    return np.sin(angles)[values], np.cos(angles)[values]
