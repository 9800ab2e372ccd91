"""The meaning of the end of a worker's container, for all AWS runtimes."""

from __future__ import annotations

import re

from airflow_sklearn.runtimes.base import JobState

_SUCCESS = 0
_OUT_OF_MEMORY = 71  # the worker's exit code for it, see airflow_sklearn.contract.exit_codes
_KILLED = 128 + 9
_TERMINATED = 128 + 15

#: Errors of an image's pull that a retry would meet again.
_NO_SUCH_IMAGE = re.compile(
    r"not found|manifest unknown|does not exist|no such image|access ?denied|denied:|not authorized|unauthorized|"
    r"\b403\b|no basic auth|invalid reference|exec format|no match(ing)? (for )?(manifest|platform)|"
    r"does not contain descriptor|failed to resolve ref",
    re.IGNORECASE,
)
#: Errors of the network, or of an overloaded registry. A retry may succeed, whatever else the message says.
_PASSES = re.compile(r"timeout|dial tcp|connection re|temporar|too ?many ?requests|\b5\d\d\b", re.IGNORECASE)

Judgement = tuple[JobState, str]


def may_pass(why: str) -> bool:
    """Whether an error message is about the network or an overloaded registry, so that a retry may succeed."""
    return _PASSES.search(why) is not None


def judge_exit(code: int | None, *, out_of_memory: bool, memory: int, why: str) -> Judgement:
    """The meaning of a container's exit code.

    :param code: the exit code; None: there is none.
    :param out_of_memory: whether the service says that memory ran out.
    :param memory: the container's memory in MiB; 0: unknown.
    :param why: the service's further explanation.
    """
    if code == _SUCCESS:
        return JobState.SUCCEEDED, ""
    if out_of_memory or code == _OUT_OF_MEMORY:
        size = f" of {memory:,} MiB" if memory else ""
        return JobState.OUT_OF_MEMORY, f"The container ran out of its memory{size} ({why or 'as the worker says'})."
    if code == _KILLED:
        hint = "Somebody killed it, its host went away, or memory ran out on the host."
        return JobState.LOST, f"The container was killed (exit code {code}). {hint} {why}".rstrip()
    if code == _TERMINATED:
        return JobState.LOST, f"The container was stopped from outside (exit code {code}). {why}".rstrip()
    if code is None:
        return JobState.LOST, f"The container left no exit code. {why}".rstrip()
    return JobState.FAILED, f"The worker ended with exit code {code}."


def judge_pull(why: str, image: str, who: str) -> Judgement:
    """The meaning of an image that could not be pulled.

    :param why: the service's explanation.
    :param image: the image's name.
    :param who: whose permissions the pull needs.
    """
    if _NO_SUCH_IMAGE.search(why) and not may_pass(why):
        hint = f"Check the image's name and tag, and that {who} may pull it."
        return JobState.FAILED, f"The image {image} cannot be pulled: {why}\n{hint}"
    return JobState.LOST, f"The image {image} could not be pulled this time: {why}"
