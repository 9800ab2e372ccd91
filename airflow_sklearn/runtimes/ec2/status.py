"""The statuses of jobs on instances, from EC2's answers and from the instances' own records.

The handles hold all that is needed: another runtime object for the same region may poll.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.job_queue import JobEnd
from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.ec2.instance_status import (
    is_gone,
    is_over,
    status_of_end,
    status_of_gone,
    status_of_silent,
    was_stopped,
)
from airflow_sklearn.runtimes.ec2.instances import console_output, describe
from airflow_sklearn.runtimes.ec2.job_data import Ec2JobData, instance_id_of, placement_of
from airflow_sklearn.runtimes.ec2.job_queue import end_uri, ended_slots, slot_name
from airflow_sklearn.runtimes.ec2.ownership import is_young_since

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.contract.job_queue import Placement
    from airflow_sklearn.runtimes.base import JobHandle
    from airflow_sklearn.runtimes.ec2.heartbeats import HeartbeatMonitor
    from airflow_sklearn.storage import Storage

_LONGEST_SILENCE = 600.0  # seconds without a beat of an instance that has been heard before
_READERS = 16  # threads that read the ends of jobs


def describe_jobs(
    client: Any, storage: Storage, handles: Sequence[JobHandle], monitor: HeartbeatMonitor
) -> list[JobStatus]:
    """The statuses of many jobs, in their order.

    :param client: a boto3 client for ``ec2``.
    :param storage: where the pools are.
    :param handles: the jobs' handles.
    :param monitor: the heartbeats seen so far.
    :raises Exception: no job's status could be found out.
    """
    instances, errors = describe(client, [instance_id_of(handle) for handle in handles])
    # After the instances are described: an instance that has ended has stored the ends of its jobs before.
    ended: dict[str, set[str]] = {}
    for pool in dict.fromkeys(placement_of(handle).pool for handle in handles):
        try:
            ended[pool] = ended_slots(storage, pool)
        except Exception as error:  # one pool cannot be read; the others can
            errors.append(error)
    done = [one for one in map(placement_of, handles) if _name(one) in ended.get(one.pool, ())]
    with ThreadPoolExecutor(_READERS) as threads:
        read = threads.map(lambda placement: _end_or_error(storage, placement), done)
        ends = dict(zip(map(_slot_of, done), read, strict=True))
    # The instance was stopped, and its job with it, after it was described: by now EC2 knows who did it.
    stopped = [one for one in handles if was_stopped(ends.get(_slot_of(placement_of(one))))]
    if alive := [name for name in map(instance_id_of, stopped) if (one := instances.get(name)) and not is_gone(one)]:
        instances |= describe(client, alive)[0]
    monitor.refresh(storage, ended)
    statuses = [
        _status(client, one, instances, ended, ends.get(_slot_of(placement_of(one))), monitor) for one in handles
    ]
    if errors and all(status.state is JobState.UNKNOWN for status in statuses):
        raise errors[0]
    return statuses


def lost_in_silence(
    handles: Sequence[JobHandle], statuses: Sequence[JobStatus], monitor: HeartbeatMonitor
) -> list[JobHandle]:
    """One job of each instance that ``describe_jobs`` found without heartbeats."""
    lost = [one for one, status in zip(handles, statuses, strict=True) if status.state is JobState.LOST]
    return list({instance_id_of(one): one for one in lost if _is_silent(one, monitor)}.values())


def _end_or_error(storage: Storage, placement: Placement) -> JobEnd | Exception:
    try:
        return JobEnd.from_json(storage.read(end_uri(placement.pool, _name(placement))))
    except Exception as error:  # one job cannot be read; the others can
        return error


def _status(
    client: Any,
    handle: JobHandle,
    instances: Mapping[str, Mapping[str, Any] | None],
    ended: Mapping[str, set[str]],
    end: JobEnd | Exception | None,
    monitor: HeartbeatMonitor,
) -> JobStatus:
    data = Ec2JobData.of(handle)
    placement, instance_id = data.placement, data.instance_id
    if placement.pool not in ended or instance_id not in instances or isinstance(end, Exception):
        return JobStatus(state=JobState.UNKNOWN, message=f"The look at the job failed. {end or ''}".rstrip())
    instance = instances[instance_id]
    if end is not None:
        return status_of_end(end, instance, f"The next attempt gets a {data.larger}." if data.larger else None)
    if instance is None:
        if is_young_since(handle.submitted_at):
            return JobStatus(state=JobState.UNKNOWN, message="EC2 does not know the instance yet.")
        message = f"EC2 knows no instance {instance_id} any more, and how the job ended is not known."
        return JobStatus(state=JobState.LOST, message=message)
    if is_over(instance):
        return status_of_gone(instance, lambda: console_output(client, instance_id))
    if not is_gone(instance) and _is_silent(handle, monitor):
        silence = monitor.silence_of(placement)
        return status_of_silent(
            instance_id, silence.seconds, heard=silence.heard, console=console_output(client, instance_id)
        )
    if instance["State"]["Name"] == "pending":
        return JobStatus(state=JobState.PENDING, message=f"The instance {instance_id} is pending.")
    if is_gone(instance):
        return JobStatus(state=JobState.RUNNING, message=f"The instance {instance_id} is shutting down.")
    names = [slot_name(placement.number, slot) for slot in range(placement.slot)]
    if before := [name for name in names if name not in ended[placement.pool]]:
        return JobStatus(state=JobState.PENDING, message=f"{len(before)} jobs come before it on {instance_id}.")
    return JobStatus(state=JobState.RUNNING)


def _is_silent(handle: JobHandle, monitor: HeartbeatMonitor) -> bool:
    """Whether the instance has written no heartbeat for so long that its job counts as lost."""
    data = Ec2JobData.of(handle)
    longest = data.startup_allowance
    if longest is None:
        return False
    silence = monitor.silence_of(data.placement)
    return silence.seconds > (_LONGEST_SILENCE if silence.heard else longest)


def _name(placement: Placement) -> str:
    return slot_name(placement.number, placement.slot)


def _slot_of(placement: Placement) -> tuple[str, str]:
    return placement.pool, _name(placement)
