"""Why an instance ended before its job did, and what a retry should do.

Sources: "StateReason" in the Amazon EC2 API Reference, and "Troubleshoot instance launch issues" in the Amazon EC2 User
Guide.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_sklearn.runtimes.aws.status import judge_exit, judge_pull
from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.ec2.user_data import MARK
from airflow_sklearn.runtimes.outcome import too_old

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_sklearn.contract.job_queue import JobEnd
    from airflow_sklearn.runtimes.aws.status import Judgement

_STOPPED = (None, 128 + 15)  # exit codes of jobs that did not end by themselves
_BY_ITSELF = "Client.InstanceInitiatedShutdown"
_OVER = ("terminated", "stopped")
_GONE = ("shutting-down", "terminated", "stopping", "stopped")
_LAUNCH_FAILED = {
    "Server.InsufficientInstanceCapacity": JobState.NO_CAPACITY,
    "Client.VolumeLimitExceeded": JobState.NO_CAPACITY,
    "Client.InternalError": JobState.FAILED,
    "Client.InvalidSnapshot.NotFound": JobState.FAILED,
}
_ADVICE = {
    "Client.InternalError": "As a rule Airflow's role may not use the KMS key of the encrypted volume.",
    "Client.VolumeLimitExceeded": "The account has as many EBS volumes, or as much storage, as it may.",
}
_CANNOT_PULL = re.compile(rf"{re.escape(MARK)}cannot pull (?P<image>\S+): (?P<why>.*)")
_TAIL = 15  # lines of the console in a message


def is_gone(instance: Mapping[str, Any]) -> bool:
    """Whether an instance has ended, or is about to. A stopped instance counts as ended."""
    return instance["State"]["Name"] in _GONE


def is_over(instance: Mapping[str, Any]) -> bool:
    """Whether nothing runs on the instance any more. While it shuts down, its jobs may still store how they ended."""
    return instance["State"]["Name"] in _OVER


def was_stopped(end: JobEnd | Exception | None) -> bool:
    """Whether a job did not end by itself.

    :param end: how the job ended. None, or an error of reading it: unknown.
    """
    return not isinstance(end, Exception) and end is not None and end.exit_code in _STOPPED


def status_of_end(end: JobEnd, instance: Mapping[str, Any] | None, prospect: str | None) -> JobStatus:
    """The status of a job whose end the instance has stored.

    :param end: how the job ended.
    :param instance: an element of ``DescribeInstances``, which tells who stopped the instance; None: EC2 does not know
        it.
    :param prospect: the next attempt's instance type after one that ran out of memory; None: no larger one.
    """
    if was_stopped(end) and instance and is_gone(instance) and _reason(instance) != _BY_ITSELF:
        return status_of_gone(instance, lambda: "").model_copy(update={"exit_code": end.exit_code})
    state, message = judge_exit(end.exit_code, out_of_memory=end.out_of_memory, memory=end.memory, why=end.message)
    if state is not JobState.OUT_OF_MEMORY:
        return JobStatus(state=state, message=message, exit_code=end.exit_code)
    if prospect is None:
        hint = "There is no larger type: add to Ec2Runtime(larger_instance_types=[...]), or cut smaller chunks."
        # Without the exit code, because the code alone would mean that a retry may help.
        return JobStatus(state=JobState.FAILED, message=f"{message} {hint}")
    return JobStatus(state=state, message=f"{message} {prospect}", exit_code=end.exit_code)


def status_of_gone(instance: Mapping[str, Any], console: Callable[[], str]) -> JobStatus:
    """The status of a job that has not ended, though its instance has.

    :param instance: an element of ``DescribeInstances``.
    :param console: returns the output of ``GetConsoleOutput``; empty: there is none.
    """
    state, message = _judge(instance, console)
    return JobStatus(state=state, message=message)


def status_of_silent(instance_id: str, seconds: float, *, heard: bool, console: str) -> JobStatus:
    """The status of a job whose instance runs, but writes no heartbeats.

    :param seconds: for how many seconds.
    :param heard: whether it wrote heartbeats before.
    :param console: the instance's console output.
    """
    said = f"Nothing has been heard of the instance {instance_id} for {seconds:,.0f} s, though EC2 says that it runs."
    if not heard:
        said = (
            f"The instance {instance_id} was launched, and {seconds:,.0f} s later its worker has not begun. "
            "Fix: see its console; a slow start may have more time with Ec2Runtime(startup_allowance=...)."
        )
    return JobStatus(state=JobState.LOST, message=f"{said} {_shown(console)}")


def _reason(instance: Mapping[str, Any]) -> str:
    return str((instance.get("StateReason") or {}).get("Code", ""))


def _judge(instance: Mapping[str, Any], console: Callable[[], str]) -> Judgement:
    code, said = _reason(instance), (instance.get("StateReason") or {}).get("Message", "")
    name = instance["InstanceId"]
    why = said or code or instance.get("StateTransitionReason") or "EC2 gives no reason"
    if "Spot" in code:
        return JobState.LOST, f"The Spot instance {name} was taken away: {why}"
    if code in _LAUNCH_FAILED:
        advice = f"\n{_ADVICE[code]}" if code in _ADVICE else ""
        return _LAUNCH_FAILED[code], f"The instance {name} could not be launched: {why}{advice}"
    if code == _BY_ITSELF:
        return _judge_console(name, console())
    if code in ("Client.UserInitiatedShutdown", "Client.InstanceTerminated"):
        return JobState.CANCELLED, f"The instance {name} was ended, with its Airflow task or by somebody: {why}"
    return JobState.LOST, f"The instance {name} has ended: {why}"


def _judge_console(name: str, console: str) -> Judgement:
    """The meaning of an instance that shut itself down before its job ended: no container could start, or it broke
    off.
    """
    if found := _CANNOT_PULL.search(console):
        return judge_pull(found["why"], found["image"], "the instance profile's role")
    if reason := too_old(None, console.splitlines()):
        return JobState.FAILED, reason
    return JobState.LOST, f"The instance {name} ended itself without doing the job. {_shown(console)}"


def _shown(console: str) -> str:
    lines = console.rstrip().splitlines()[-_TAIL:]
    tail = "\n".join(f"  {line}" for line in lines)
    return f"Its console's last lines:\n{tail}" if lines else "Its console says nothing (yet)."
