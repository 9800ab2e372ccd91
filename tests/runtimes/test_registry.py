from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.registry import check_runtime, load, load_all, names


def test_the_registry_imports_no_runtime_before_it_is_asked_for_one() -> None:
    source = "import sys, airflow_sklearn.runtimes.registry as r; r.names(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    found = {name for name in done.stdout.split() if name.startswith("airflow_sklearn.runtimes.")}
    assert found == {"airflow_sklearn.runtimes.base", "airflow_sklearn.runtimes.registry"}


def test_each_runtime_is_there_under_its_name() -> None:
    assert {name: runtime.__name__ for name, runtime in load_all()} == {
        "local": "LocalRuntime",
        "ecs": "EcsRuntime",
        "ec2": "Ec2Runtime",
    }
    assert [load(name) for name in names()] == [runtime for _, runtime in load_all()]


def test_options_of_the_reaper_are_told_apart() -> None:
    flags = [runtime.leftovers.flag for _, runtime in load_all() if runtime.leftovers]
    assert len(set(flags)) == len(flags)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("fargate", r"give EcsRuntime\(\.\.\.\)\.$"),
        ("LocalRuntime", r"give LocalRuntime\(\)\.$"),
        ("slurm", r"give LocalRuntime\(\), EcsRuntime\(\.\.\.\) or Ec2Runtime\(\.\.\.\)\.$"),
    ],
)
def test_a_word_for_a_runtime_is_refused_with_what_was_meant(given: str, advice: str) -> None:
    with pytest.raises(UserError, match=advice):
        check_runtime(given)
