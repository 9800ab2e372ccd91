"""EC2 instances as containers of this machine's Docker engine: they boot, run their user data, and end.

What is real: the user data are run by a shell in a machine of its own, and what they start with Docker are containers.
What is not: the machine's kernel and disk, and its Docker engine, which is this machine's own. What an instance has
started is labelled, and ends with it.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import ec2

from local_cloud.aws_server.ecs.lifecycle import STOP_SECONDS

#: MiB. Of all other types, instances may have what this machine has.
MEMORY = {"t3.nano": 512, "t3.micro": 1024, "t3.small": 2048, "t3.medium": 4096}
OWNER = "local-cloud.instance"
SHUT_DOWN_BY_ITSELF = (
    "Client.InstanceInitiatedShutdown",
    "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
)
BY_SOMEBODY = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
HOST_FAILED = ("Server.InternalError", "Server.InternalError: Internal error on launch or of the host")
SPOT_TAKEN = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")

_EXIT_BY_SHUTDOWN = 128 + 15
_CONSOLE_BYTES = 65_536  # that GetConsoleOutput has
_PROGRAMS = Path(__file__).parent / "machine"
_logger = logging.getLogger("local-cloud")


def boot(instance: dict[str, Any], user_data: str) -> None:
    """Run the user data, once; and see the instance's end.

    On a busy machine Docker may fail at any of it. Then the instance ends, as one does whose host fails: else it would
    run for ever, and do nothing.
    """
    try:
        _boot(instance, user_data)
    except Exception as error:
        _fail(instance, error)


def _boot(instance: dict[str, Any], user_data: str) -> None:
    container = ec2._vm_get_container(instance)
    if container is None:
        raise RuntimeError("it has no container, or Docker does not tell")
    for name in ("docker", "shutdown"):
        _put(container, f"/usr/local/sbin/{name}", (_PROGRAMS / name).read_text())
    _put(container, "/etc/local-cloud-memory", str(MEMORY.get(instance["InstanceType"], 1 << 20)))
    _in_background(lambda: _see_the_end(instance, container))
    if user_data.startswith("#!"):
        _put(container, "/var/lib/cloud/instance/scripts/part-001", user_data)
        _in_background(lambda: _run_user_data(instance, container))


def end(instance: dict[str, Any], reason: tuple[str, str]) -> None:
    """Begin to end an instance: its containers get SIGTERM, and SIGKILL when their time is over. Returns at once."""
    if instance["State"]["Name"] in ("shutting-down", "terminated"):
        return
    instance["State"] = {"Code": 32, "Name": "shutting-down"}
    instance["_reason"] = reason
    _in_background(lambda: _turn_off(instance))


def console(instance: dict[str, Any]) -> bytes:
    """The end of what it has printed."""
    return bytes(instance.get("_console", b""))[-_CONSOLE_BYTES:]


def _run_user_data(instance: dict[str, Any], container: Any) -> None:
    instance["_console"] = bytearray(b"[    0.000000] Linux version of the local cloud\r\n")
    try:
        run = _exec_of_user_data(instance, container)
    except Exception as error:
        _fail(instance, error)
        return
    try:
        for printed in container.client.api.exec_start(run["Id"], stream=True):
            instance["_console"] += printed
    except Exception as error:  # the machine is off, or Docker fails
        _logger.info("%s: the console ended: %s", instance["InstanceId"], error)
        if _runs(container):
            _fail(instance, error)


def _exec_of_user_data(instance: dict[str, Any], container: Any) -> Any:
    # What a login shell of cloud-init does not have, is not there: HOME, for one.
    return container.client.api.exec_create(
        container.id,
        ["/var/lib/cloud/instance/scripts/part-001"],
        environment={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "AWS_ENDPOINT_URL": os.environ["LOCAL_CLOUD_ENDPOINT"],
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": os.environ["LOCAL_CLOUD_ENDPOINT"],
            "LOCAL_CLOUD_LABELS": ",".join(_labels(instance)),
            "LOCAL_CLOUD_MINUTE": os.environ["LOCAL_CLOUD_MINUTE"],
        },
    )


def _fail(instance: dict[str, Any], error: Exception) -> None:
    _logger.warning("%s does not boot: %s", instance["InstanceId"], error)
    end(instance, HOST_FAILED)


def _runs(container: Any) -> bool:
    try:
        container.reload()
    except Exception:
        return False
    return str(container.status) == "running"


def _see_the_end(instance: dict[str, Any], container: Any) -> None:
    try:
        code = container.wait(timeout=None)["StatusCode"]
    except Exception as error:  # it was removed
        _logger.info("%s: %s", instance["InstanceId"], error)
        code = None
    if instance["State"]["Name"] == "running":
        instance["_reason"] = SHUT_DOWN_BY_ITSELF if code == _EXIT_BY_SHUTDOWN else HOST_FAILED
        stops = instance.get("_shutdown") == "stop" and code == _EXIT_BY_SHUTDOWN
        _remove_what_it_started(instance, seconds=STOP_SECONDS if code == _EXIT_BY_SHUTDOWN else 0)
        _set_state(instance, 80 if stops else 48, "stopped" if stops else "terminated")


def _turn_off(instance: dict[str, Any]) -> None:
    try:
        _remove_what_it_started(instance, seconds=STOP_SECONDS)
        ec2._vm_remove_container(instance)
        _remove_what_it_started(instance, seconds=0)  # what it was about to start
    finally:
        _set_state(instance, 48, "terminated")


def _set_state(instance: dict[str, Any], code: int, name: str) -> None:
    instance["State"] = {"Code": code, "Name": name}
    instance["_terminated_at"] = time.time()
    instance.pop("_container_id", None)
    instance.pop("_container_name", None)


def _remove_what_it_started(instance: dict[str, Any], seconds: int) -> None:
    """:param seconds: between SIGTERM and SIGKILL; 0: the power is gone."""
    client = ec2._get_docker()
    mine = {"label": f"{OWNER}={instance['InstanceId']}"}
    for one in client.containers.list(all=True, filters=mine, ignore_removed=True):
        try:
            if seconds:
                one.stop(timeout=seconds)
            one.remove(force=True)
        except DockerException as error:  # it has ended by itself, with --rm
            _logger.info("%s: %s", one.name, error)


def _labels(instance: dict[str, Any]) -> list[str]:
    owner = ec2.container_reaper.instance_id()
    return [f"{OWNER}={instance['InstanceId']}", f"{ec2.container_reaper.INSTANCE_LABEL}={owner}"]


def _put(container: Any, path: str, text: str) -> None:
    packed, data = io.BytesIO(), text.encode()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
    container.put_archive("/", packed.getvalue())


def _in_background(work: Callable[[], None]) -> None:
    account, region = get_account_id(), get_region()

    def run() -> None:
        with request_scope(account, region):
            work()

    threading.Thread(target=run, daemon=True).start()


def decoded(user_data: str) -> str:
    """As RunInstances takes it."""
    return base64.b64decode(user_data or "").decode()
