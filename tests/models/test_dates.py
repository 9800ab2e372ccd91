from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_sklearn.models.dates import PERIODS, date_part, on_circle

TIMES = ["1969-12-31T23:59:59", "1970-01-01T00:00:00", "2000-02-29T12:30:00", "2100-03-01T01:00:00"]
MOMENTS = pd.Series(pd.to_datetime(TIMES)).astype("datetime64[us]")


@pytest.mark.parametrize("part", PERIODS)
def test_parts_are_those_of_pandas(part: str) -> None:
    found = date_part(MOMENTS.to_numpy().astype(np.int64), part)
    assert found.tolist() == getattr(MOMENTS.dt, "day_of_week" if part == "weekday" else part).tolist()


def test_december_lies_beside_january() -> None:
    sine, cosine = on_circle(np.array([12, 1, 6]), "month")
    distances = np.hypot(sine - sine[0], cosine - cosine[0])
    assert distances[1] < 0.6
    assert distances[2] > 1.9


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="'minute'"):
        date_part(np.zeros(1, np.int64), "minute")
