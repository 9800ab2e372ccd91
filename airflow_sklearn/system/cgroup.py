"""The resource limits and the image of the container that a worker runs in, as the kernel and ECS report them."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from airflow_sklearn.system.memory import memory_of

_LOG = logging.getLogger("airflow_sklearn.worker")
_CGROUP = Path("/sys/fs/cgroup")
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # control groups of version 2, of version 1
_OOM_COUNTS = ("memory.events", "memory/memory.oom_control")
_ECS_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
_ECS_SECONDS = 1.0
_PROCESS_BYTES = 150_000_000  # what one more predicting process takes: measured 65 to 135 MB


def memory_limit(cgroup: Path = _CGROUP) -> int:
    """The memory limit of this container in bytes; the machine's memory if the container has no limit.

    :param cgroup: the folder of the control group file system.
    """
    limits = [int(text) for name in _MEMORY_LIMITS if (text := _read(cgroup / name)).isdecimal()]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])


def oom_kills(cgroup: Path = _CGROUP) -> int:
    """How many processes of this container the kernel has killed because memory ran out.

    :param cgroup: the folder of the control group file system.
    """
    for name in _OOM_COUNTS:
        for line in _read(cgroup / name).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
    return 0


def cores(cgroup: Path = _CGROUP) -> int:
    """The number of cores that this container may use, at least 1. Imports no library.

    It is the smallest of the CPU affinity, the control group's quota, and the ECS task's limit.

    :param cgroup: the folder of the control group file system.
    """
    limits = [float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)]
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")  # control groups of version 2
    if not quota:
        quota, period = _read(cgroup / "cpu/cpu.cfs_quota_us"), _read(cgroup / "cpu/cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal():
        limits.append(int(quota) / int(period))
    if task := _ask_ecs("/task").get("Limits", {}).get("CPU"):
        limits.append(task)
    return max(1, math.ceil(min(limits)))


def process_limit() -> int:
    """The largest number of processes to predict in: one a core, and no more than the free memory allows.

    Call it when the model is loaded, since its memory counts. The environment variable AIRFLOW_SKLEARN_PROCESSES
    overrides the result.
    """
    if asked := os.environ.get("AIRFLOW_SKLEARN_PROCESSES"):
        return int(asked)
    from joblib import cpu_count

    cores = cpu_count()  # by affinity and the container's own quota
    # A CPU limit of the whole task (Fargate) cannot be seen inside of the container.
    task = _ask_ecs("/task").get("Limits", {}).get("CPU", 0)
    room = (memory_limit() - memory_of(os.getpid())) // _PROCESS_BYTES
    return max(1, min(cores, math.ceil(task) or cores, room))


def image_with_digest(asked: str = "") -> str:
    """The image that this container runs, as ``name@digest``.

    :param asked: the image named in the job. It is returned if ECS does not tell the digest.
    """
    if "@" in asked:
        return asked
    found = _ask_ecs()
    name, digest = found.get("Image") or asked, found.get("ImageID", "")
    return name if "@" in name or not (name and digest) else f"{name}@{digest}"


def ecs_container() -> dict[str, Any]:
    """What ECS tells about this container (task metadata endpoint, version 4); empty where there is no ECS."""
    return _ask_ecs()


def _ask_ecs(path: str = "") -> dict[str, Any]:
    """The answer of the ECS task metadata endpoint (version 4); empty where there is none."""
    uri = os.environ.get(_ECS_VARIABLE)
    if not uri:
        return {}
    import urllib.request
    from http.client import HTTPException

    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(uri + path, timeout=_ECS_SECONDS) as answer:
            found = json.load(answer)
    except (OSError, ValueError, HTTPException) as error:
        _LOG.warning("No answer from the task metadata endpoint %s%s: %s", uri, path, error)
        return {}
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
