"""The Docker engine of this machine, through its command line."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from local_cloud import postgres
from local_cloud.waiting import wait_for

#: The base of all images here; ``.ci/install-container-tests`` makes it.
BASE_IMAGE = "airflow-sklearn-python-base:local"
#: On each container of a local cloud: ECS's, EC2's instances, and what they start.
LABEL = "ministack.instance"
_BUILDING = Path(tempfile.gettempdir()) / "airflow-sklearn-image-builds.lock"


class NoEngineError(Exception):
    """Containers cannot be run here; the message says why."""


def docker(*arguments: str) -> str:
    """Run ``docker ARGUMENTS``.

    :return: what it printed.
    :raises RuntimeError: it failed.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, env=_environment())
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout.strip()


def check() -> None:
    """:raises NoEngineError: there is no engine, no base image, no database, or no right to change addresses."""
    advice = "`.ci/install-container-tests` sets it up (as root, on Debian)."
    if shutil.which("docker") is None:
        raise NoEngineError(f"There is no docker command. {advice}")
    try:
        docker("version", "--format", "{{.Server.Version}}")  # `info` hangs while an image is being pulled
    except RuntimeError as error:
        raise NoEngineError(f"No Docker engine answers. {advice}") from error
    if os.geteuid() != 0:
        raise NoEngineError("The containers' credentials come from an address that only root can add.")
    if not images(BASE_IMAGE):
        raise NoEngineError(f"There is no image {BASE_IMAGE}. {advice}")
    try:
        postgres.check()
    except postgres.NoPostgresError as error:
        raise NoEngineError(str(error)) from error
    bridge_address()


def bridge_address() -> str:
    """The address under which containers reach this machine, and this machine itself.

    :raises NoEngineError: Docker's bridge is not an interface of this machine (Docker Desktop, rootless Docker).
    """
    network = json.loads(docker("network", "inspect", "bridge"))[0]
    name = network["Options"].get("com.docker.network.bridge.name", "docker0")
    shown = subprocess.run(["ip", "-json", "-4", "address", "show", name], capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        raise NoEngineError(f"Docker's bridge {name} is not an interface of this machine: {shown.stderr.strip()}")
    return str(json.loads(shown.stdout)[0]["addr_info"][0]["local"])


def build(tag: str, context: Path, dockerfile: Path, **arguments: str) -> str:
    """Build an image; what has not changed comes from Docker's cache.

    One at a time: of two processes that begin with the same image, the second finds it in the cache.

    :param arguments: build arguments.
    :return: its id, which stays that of this build when another checkout of the project builds the tag anew.
    """
    options = [option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")]
    with _BUILDING.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = docker("build", "--quiet", "--tag", tag, "--file", str(dockerfile), *options, str(context))
    return said.splitlines()[-1]


def images(reference: str) -> list[str]:
    """The ids of the images of that name."""
    return docker("images", "--quiet", reference).split()


def containers(*labels: str, running_only: bool = False) -> list[str]:
    """The ids of the containers that have all ``labels``."""
    filters = [option for label in labels for option in ("--filter", f"label={label}")]
    return docker("ps", "--quiet", "--no-trunc", *([] if running_only else ["--all"]), *filters).split()


def remove_containers(*labels: str) -> None:
    """End and remove the containers that have all ``labels``.

    :raises AssertionError: some are still there after a long time.
    """

    def removed() -> bool:
        if found := containers(*labels):  # one that somebody else is removing is an error, and soon gone
            subprocess.run(["docker", "rm", "--force", "--volumes", *found], capture_output=True, check=False)
        return not found

    wait_for(removed, lambda: f"containers to go: {containers(*labels)}")


def _environment() -> dict[str, str]:
    """Without the buildx plugin, only the builder before BuildKit works."""
    plugins = (
        Path.home() / ".docker",
        Path("/usr/local/lib/docker"),
        Path("/usr/lib/docker"),
        Path("/usr/libexec/docker"),
    )
    buildx = any((folder / "cli-plugins" / "docker-buildx").exists() for folder in plugins)
    return {**os.environ, **({} if buildx else {"DOCKER_BUILDKIT": "0"})}
