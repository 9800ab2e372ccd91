"""The memory of a job's task: as requested, or more after an attempt that ran out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.ecs import fargate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_sklearn.runtimes.ecs.job_data import EcsJobData

    Size = tuple[int | None, int | None]

_GROWTH = 2  # factor of the memory after an out-of-memory kill: few retries are better than many small steps
_DEFAULT_BOUND = 4  # times the first attempt's memory


def bound_of(memory: int | None, max_memory: int | None) -> int | None:
    """The most MiB that a job may get; None if the first attempt's memory is unknown."""
    return max_memory or (memory * _DEFAULT_BOUND if memory else None)


def override_of(task: Mapping[str, Any], container: str) -> dict[str, Any]:
    """The overrides of one container of a task."""
    overrides = task.get("overrides", {}).get("containerOverrides", ())
    return next((one for one in overrides if one.get("name") == container), {})


def memory_of(task: Mapping[str, Any], container: str) -> int:
    """The MiB of a task; 0 if unknown. Its overrides take precedence over its definition."""
    inside: dict[str, Any] = next((one for one in task.get("containers", ()) if one.get("name") == container), {})
    said = (
        task.get("overrides", {}).get("memory")
        or override_of(task, container).get("memory")
        or task.get("memory")
        or inside.get("memory")
    )
    return int(said or 0)


def size_after(spent: Iterable[int], cpu: int | None, memory: int, bound: int, *, on_fargate: bool) -> Size:
    """CPU units and MiB of the next attempt.

    :param spent: the MiB with which earlier attempts ran out of memory.
    :param cpu: the first attempt's CPU units.
    :param memory: the first attempt's MiB.
    :param bound: the most MiB. A job that ran out even of these gets them again, because its data may have changed.
    :param on_fargate: whether the size must be one of Fargate's.
    """
    most = max(spent, default=0)
    if most < memory:
        return cpu, memory
    grown = _grown(cpu, most, bound, on_fargate=on_fargate)
    if grown is not None:
        return grown
    if on_fargate:
        return fargate.fit(cpu or 0, min(most, bound)) or (cpu, memory)
    return cpu, max(memory, min(most, bound))


def with_prospect(status: JobStatus, task: Mapping[str, Any], data: EcsJobData) -> JobStatus:
    """The status of a task that ran out of memory, with the size of the next attempt, or that there is no larger one.

    :param data: the handle's content. The handle may come from another runtime object than the one that polls.
    """
    spent, bound = memory_of(task, data.container), data.memory_bound
    if not spent or bound is None:
        hint = "Give it more: EcsRuntime(memory=...)."
        return status.model_copy(update={"message": f"{status.message} {hint}"})
    cpu = task.get("overrides", {}).get("cpu") or task.get("cpu") or 0
    grown = _grown(int(cpu), spent, bound, on_fargate=data.on_fargate)
    if grown is None:
        hint = f"That is all that max_memory={bound} allows: raise it, or cut smaller chunks."
        # Without the exit code, because the code alone would mean that a retry may help.
        return JobStatus(state=JobState.FAILED, message=f"{status.message} {hint}")
    hint = f"The next attempt gets {grown[1]:,} MiB; EcsRuntime(memory={grown[1]}) saves the first one."
    return status.model_copy(update={"message": f"{status.message} {hint}"})


def _grown(cpu: int | None, spent: int, bound: int, *, on_fargate: bool) -> tuple[int | None, int] | None:
    """The next larger size; None at the bound."""
    if on_fargate:
        return fargate.grow(cpu or 0, spent, factor=_GROWTH, bound=bound)
    return (cpu, min(spent * _GROWTH, bound)) if spent < bound else None
