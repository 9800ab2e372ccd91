from __future__ import annotations

from typing import Any

import pytest

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.base import runtime_from_dict
from airflow_sklearn.runtimes.ec2 import Ec2Runtime

GOOD: dict[str, Any] = {"image": "acme/worker:7", "image_id": "ami-1", "instance_types": ["m7i.large"]}


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        Ec2Runtime(
            instance_types="m7i.large",  # type: ignore[arg-type]
            launch_template_version="3",
            jobs_per_instance=0,
            volume_size=0,
            idle_timeout=-1,
            capacity_timeout="nan",  # type: ignore[arg-type]
            startup_allowance=0,
            run_instances_kwargs={"SubnetId": "subnet-1", "UserData": "x", "Monitoring": {"Enabled": True}},
        )
    said = str(caught.value)
    for part in (
        "image= is missing",
        "image_id= is missing",
        "launch_template_version goes with launch_template",
        "jobs_per_instance=0",
        "volume_size=0",
        "idle_timeout=-1",
        "capacity_timeout=nan: it is in seconds",
        "startup_allowance=0",
        "instance_types='m7i.large': it is a list",
        "SubnetId is set for each instance, from subnets=",
        "UserData is set for each instance\n",
    ):
        assert part in f"{said}\n", part
    assert "Monitoring" not in said


def test_a_launch_template_may_say_what_the_arguments_do_not() -> None:
    assert Ec2Runtime(image="acme/worker:7", launch_template="ml").launch_template == "ml"


@pytest.mark.parametrize(
    ("option", "value", "what"),
    [
        ("jobs_per_instance", "{{ n }}", "it is a number, and no template"),
        ("volume_size", 20.5, "it is a whole number"),
        ("idle_timeout", "soon", "it is a number"),
    ],
)
def test_numbers_are_numbers(option: str, value: Any, what: str) -> None:
    with pytest.raises(UserError, match=rf"Ec2Runtime\({option}=.*{what}"):
        Ec2Runtime(**GOOD, **{option: value})


def test_numbers_may_be_written_as_text() -> None:
    runtime = Ec2Runtime(**GOOD, volume_size="40", idle_timeout="7.5")  # type: ignore[arg-type]
    assert (runtime.volume_size, runtime.idle_timeout) == (40, 7.5)


def test_a_template_that_gives_a_text_where_a_list_is_wanted_is_refused() -> None:
    runtime = Ec2Runtime(**{**GOOD, "subnets": "{{ var.value.subnets }}"})
    runtime.subnets = "subnet-1,subnet-2"  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"Ec2Runtime\(subnets=\.\.\.\) is 'subnet-1,subnet-2' after rendering"):
        runtime.check_rendered()


def test_it_survives_a_deferral() -> None:
    runtime = Ec2Runtime(**GOOD, spot=True, env={"A": "1"}, jobs_per_instance=4)
    assert runtime_from_dict(runtime.to_dict(), runtime.env) == runtime


def test_its_repr_is_stable_and_holds_no_value_of_a_variable() -> None:
    runtime = Ec2Runtime(**GOOD, env={"TOKEN": "hunter2"})
    assert repr(runtime) == repr(Ec2Runtime(**GOOD, env={"TOKEN": "hunter3"}))
    assert "TOKEN" in repr(runtime)
    assert "hunter2" not in repr(runtime)


def test_jobs_that_share_an_instance_may_each_take_their_deadline() -> None:
    assert Ec2Runtime(**GOOD).jobs_in_a_row == 1
    assert Ec2Runtime(**GOOD, jobs_per_instance=5).jobs_in_a_row == 5
