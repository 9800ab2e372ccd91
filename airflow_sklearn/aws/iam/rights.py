"""The rights that a runtime needs. Each kind of runtime states its own; ``policies`` puts them together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_sklearn.aws.iam.setting import Setting
    from airflow_sklearn.aws.iam.statements import Policy, Statement


class RoleRights(NamedTuple):
    """The policies of one role, which is assumed by a runtime's containers or by the service that starts them."""

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
        """Whether jobs run in this runtime."""

    @abstractmethod
    def run_jobs(self, setting: Setting) -> Iterator[Statement]:
        """Statements for whoever submits, watches and stops jobs, and reads their logs."""

    @abstractmethod
    def roles(self, setting: Setting, worker: Policy) -> dict[str, RoleRights]:
        """The roles of this runtime, by name.

        :param worker: the policy for the code in a container.
        """


def rights_of_runtimes() -> list[RuntimeRights]:
    """The rights of all registered runtimes that need any.

    The registry is imported by its name, because runtimes, also those of other packages, lie above this folder.
    """
    registry = import_module("airflow_sklearn.runtimes.registry")
    return [rights for _, runtime in registry.load_all() if (rights := runtime.rights()) is not None]


def rights_in_use(setting: Setting) -> list[RuntimeRights]:
    """The rights of the runtimes that this setting's jobs run in."""
    return [rights for rights in rights_of_runtimes() if rights.is_used(setting)]
