from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_sklearn.runtimes.ec2.instances import terminate


class Denying:
    """A client whose rights go by tags, which ended instances have lost."""

    def __init__(self, *states: str) -> None:
        self.states = states

    def terminate_instances(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "TerminateInstances")

    def get_paginator(self, _: str) -> Denying:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        instances = [{"InstanceId": "i-1", "State": {"Name": state}} for state in self.states]
        return [{"Reservations": [{"Instances": instances}]}]


@pytest.mark.parametrize("states", [("terminated",), ()], ids=["ended", "forgotten"])
def test_an_instance_that_has_ended_may_be_out_of_reach(states: tuple[str, ...]) -> None:
    terminate(Denying(*states), "i-1", is_young=False)


def test_a_right_that_is_missing_is_no_secret() -> None:
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        terminate(Denying("running"), "i-1", is_young=False)
