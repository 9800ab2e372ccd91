from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local_cloud import docker_engine
from tests.images.build import build_worker_image
from tests.waiting import PATIENCE


@dataclass
class Container:
    """Runs containers of the worker image, and removes them.

    :param folder: is mounted where it is on this machine, so that URIs mean the same on both sides.
    """

    image: str
    folder: Path
    names: list[str] = field(default_factory=list)

    def start(
        self, *arguments: str, options: tuple[str, ...] = (), entrypoint: str | None = None
    ) -> subprocess.Popen[str]:
        """``docker run``, as whoever runs the tests, who may write to the folder; the last of ``names`` names it."""
        self.names.append(f"airflow-sklearn-test-{uuid.uuid4().hex[:12]}")
        entry = ("--entrypoint", entrypoint) if entrypoint else ()
        user = ("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{self.folder}:{self.folder}")
        return subprocess.Popen(
            ["docker", "run", "--name", self.names[-1], *user, *options, *entry, self.image, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, options: tuple[str, ...] = (), entrypoint: str | None = None) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start(*arguments, options=options, entrypoint=entrypoint)
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output

    def python(self, source: str, *options: str) -> str:
        """What a piece of Python prints in the image, as the image's own user."""
        return docker_engine.docker("run", "--rm", *options, "--entrypoint", "python", self.image, "-c", source)


@pytest.fixture(scope="session")
def worker_image() -> str:
    """The worker image, built once for a session."""
    try:
        docker_engine.docker("version", "--format", "{{.Server.Version}}")
    except (RuntimeError, FileNotFoundError) as error:
        reason = f"No Docker engine here: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return build_worker_image()


@pytest.fixture
def container(worker_image: str, tmp_path: Path) -> Iterator[Container]:
    started = Container(worker_image, tmp_path)
    yield started
    if started.names:
        subprocess.run(["docker", "rm", "--force", *started.names], capture_output=True, check=False)
