"""Where an option belongs that was given in the wrong place."""

from __future__ import annotations

from collections import Counter

from airflow_sklearn.contract.data import CsvOptions
from airflow_sklearn.contract.preprocessing import PREPROCESSING_PARAMS
from airflow_sklearn.contract.schema import Policies
from airflow_sklearn.contract.search import Search

_PLACES: dict[str, tuple[str, ...]] = {
    "policies={{{name!r}: ...}}": tuple(Policies.model_fields),
    "preprocessing_params={{{name!r}: ...}}": tuple(PREPROCESSING_PARAMS),
    "search=Search(..., {name}=...)": tuple(Search.model_fields),
    "validation=TimeFolds(..., {name}=...)": ("gap",),
    "will_score=WillScore(..., {name}=...)": ("unfit_columns", "keep"),
    "source=Dataset(..., {name}=...)": (*CsvOptions.model_fields, "types", "file_format", "hive_partitions"),
}
_TIMES = Counter(name for names in _PLACES.values() for name in names)


def belongs(name: str) -> str:
    """A sentence that says where an option belongs; empty if it is no option, or one of several places."""
    for place, names in _PLACES.items():
        if name in names and _TIMES[name] == 1:
            return f" It belongs in {place.format(name=name)}."
    return ""
