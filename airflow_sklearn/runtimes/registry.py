"""The known runtimes, one line each. A runtime is imported only when it is asked for.

Another package adds its own by an entry point of the group ``airflow_sklearn.runtimes``, or by ``register``.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.arguments import is_known
from airflow_sklearn.contract.faults import kind_of, shown
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runtimes.base import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP = "airflow_sklearn.runtimes"
_RUNTIMES = {
    "local": "airflow_sklearn.runtimes.local:LocalRuntime",
    "ecs": "airflow_sklearn.runtimes.ecs:EcsRuntime",
    "ec2": "airflow_sklearn.runtimes.ec2:Ec2Runtime",
}
#: Other names of runtimes.
_ALIASES = {"fargate": "ecs"}


def register(name: str, path: str) -> None:
    """Add a runtime in this process.

    :param name: its name, such as ``batch``.
    :param path: its class, as ``module:Class``.
    """
    _RUNTIMES[name] = path


def names() -> list[str]:
    """The names of all known runtimes, in the order in which they were added."""
    return list({**_RUNTIMES, **_from_entry_points()})


def load(name: str) -> type[Runtime]:
    """The class of a runtime.

    :raises UserError: no runtime has this name, or the class is no runtime.
    """
    paths = {**_from_entry_points(), **_RUNTIMES}
    if name not in paths:
        raise UserError(f"There is no runtime {name!r}: there are {', '.join(paths)}.")
    module, _, class_name = paths[name].partition(":")
    found = getattr(import_module(module), class_name, None)
    if not (isinstance(found, type) and issubclass(found, Runtime)):
        raise UserError(f"The runtime {name!r} is {paths[name]}, and that is no Runtime.")
    return found


def load_all() -> Iterator[tuple[str, type[Runtime]]]:
    """Yield the names and classes of all known runtimes."""
    return ((name, load(name)) for name in names())


def check_runtime(runtime: Any) -> None:
    """Check that a value is a runtime.

    :raises UserError: it is not.
    """
    if isinstance(runtime, Runtime) or not is_known(runtime):
        return
    if isinstance(runtime, type):
        raise UserError(f"runtime={runtime.__name__} is the class: give an object, {runtime.__name__}(...).")
    word = runtime.lower().removesuffix("runtime") if isinstance(runtime, str) else ""
    examples = {
        name: f"{path.rpartition(':')[2]}({'' if name == 'local' else '...'})" for name, path in _RUNTIMES.items()
    }
    *others, last = examples.values()
    choices = examples.get(_ALIASES.get(word, word), f"{', '.join(others)} or {last}")
    raise UserError(f"runtime={shown(runtime)} is {kind_of(runtime)}: give {choices}.")


@cache
def _from_entry_points() -> dict[str, str]:
    return {found.name: found.value for found in entry_points(group=_GROUP)}
