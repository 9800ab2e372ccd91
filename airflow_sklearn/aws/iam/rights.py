"""What a runtime needs to be allowed. Each kind of runtime says it itself; the policies are put together here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.aws.iam.setting import Setting
    from airflow_sklearn.aws.iam.statements import Policy, Statement


class RoleRights(NamedTuple):
    """A role that a runtime's containers, or what starts them, take."""

    arn: str
    policy: Policy
    trust: Policy
    """Who may take the role."""
    has_instance_profile: bool = False
    """Whether EC2 instances take it."""


class RuntimeRights(ABC):
    """The rights that one kind of runtime needs."""

    option: ClassVar[str]
    """The option of ``python -m airflow_sklearn.iam`` by which jobs run there."""
    role_names: ClassVar[tuple[str, ...]] = ()
    """The names of its roles, which are names of policies too."""

    @abstractmethod
    def is_used(self, setting: Setting) -> bool:
        """Whether jobs run there."""

    @abstractmethod
    def run_jobs(self, setting: Setting) -> Iterator[Statement]:
        """For whoever submits, watches and stops jobs, and reads their logs."""

    @abstractmethod
    def roles(self, setting: Setting, worker: Policy) -> dict[str, RoleRights]:
        """Its roles by name.

        :param worker: what the code in a container needs.
        """


def rights_of_runtimes() -> list[RuntimeRights]:
    """Of all registered runtimes that need any.

    The registry is found by its name: runtimes, and packages of other people's, lie above this folder.
    """
    registry = import_module("airflow_sklearn.runtimes.registry")
    return [rights for _, runtime in registry.load_all() if (rights := runtime.rights()) is not None]


def rights_in_use(setting: Setting) -> list[RuntimeRights]:
    """Of the runtimes that jobs run in."""
    return [rights for rights in rights_of_runtimes() if rights.is_used(setting)]
