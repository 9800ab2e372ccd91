from __future__ import annotations

import pytest

from airflow_sklearn.pool.software import differences, installed_software

HERE = {"python": "3.11.7", "airflow-sklearn": "0.1.0", "cloudpickle": "3.1.2", "joblib": "1.6.0", "numpy": "2.4.0",
        "scikit-learn": "1.9.1"}  # fmt: skip


def test_the_software_of_this_environment_fits_itself() -> None:
    found = installed_software()
    assert {"python", "joblib", "cloudpickle", "numpy", "scikit-learn", "airflow-sklearn"} <= set(found)
    assert list(differences(found, found)) == []


@pytest.mark.parametrize(
    ("name", "there", "fits"),
    [
        ("python", "3.11.9", True),
        ("python", "3.12.1", False),
        ("numpy", "2.4.3", True),
        ("numpy", "2.5.0", False),
        ("joblib", "1.5.0", False),
        ("scikit-learn", "1.9.0", False),
        ("cloudpickle", "3.0.0", True),
        ("airflow-sklearn", "0.2.0", False),
    ],
)
def test_a_version_fits_or_is_named(name: str, there: str, fits: bool) -> None:
    said = list(differences(HERE, {**HERE, name: there}))
    assert said == ([] if fits else [f"{name} {HERE[name]} here, {there} in the worker"])


def test_what_one_side_does_not_have() -> None:
    assert list(differences(HERE, {name: HERE[name] for name in HERE if name != "scikit-learn"})) == []
    assert list(differences(HERE, {name: HERE[name] for name in HERE if name != "joblib"})) == [
        "joblib 1.6.0 here, none in the worker"
    ]
    assert list(differences({name: HERE[name] for name in HERE if name != "numpy"}, HERE)) == []
