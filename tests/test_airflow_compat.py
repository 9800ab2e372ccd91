"""The names that moved between Airflow's versions, in the Airflow that is installed."""

from __future__ import annotations

import pytest

from airflow_sklearn import airflow_compat

NAMES = sorted(set(airflow_compat.__all__) - {"states_in_database", "states_of_task"})  # these are the module's own


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name: str) -> None:
    assert getattr(airflow_compat, name).__module__.startswith("airflow.")


def test_the_exceptions_are_those_that_airflow_itself_catches() -> None:
    assert issubclass(airflow_compat.AirflowFailException, airflow_compat.AirflowException)
    from airflow.exceptions import AirflowException

    assert issubclass(airflow_compat.AirflowFailException, AirflowException)


def test_a_name_that_no_airflow_has_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Aset'"):
        _ = airflow_compat.Aset


def test_an_airflow_that_lacks_a_name_is_said_to_be_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(airflow_compat._PLACES, "Asset", ("airflow.no_such_module", "airflow.exceptions"))
    monkeypatch.delitem(vars(airflow_compat), "Asset", raising=False)
    with pytest.raises(ImportError, match=r"has Asset in none of airflow\.no_such_module, airflow\.exceptions.*2\.11"):
        _ = airflow_compat.Asset


def test_a_name_may_have_been_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(airflow_compat._PLACES, "Asset", ("airflow.configuration",))
    monkeypatch.setitem(airflow_compat._NAMES_IN_AIRFLOW_2, "Asset", "conf")
    monkeypatch.delitem(vars(airflow_compat), "Asset", raising=False)
    from airflow.configuration import conf

    assert airflow_compat.Asset is conf
    monkeypatch.delitem(vars(airflow_compat), "Asset")
