"""Amazon S3 for tests: ministack, a local AWS, as a process on a free loopback port.

It lives in an environment of its own because it pins its own botocore; ``MINISTACK_PYTHON`` names that environment's
interpreter, ``.venv-ministack/bin/python`` (made by ``make test``) is where it is otherwise looked for.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 60


@dataclass(frozen=True)
class Cloud:
    """A running local AWS, and how to reach it."""

    endpoint: str
    region: str = "us-east-1"
    access_key: str = "test"
    secret_key: str = "test"

    @property
    def boto3_kwargs(self) -> dict[str, str]:
        """For ``boto3.client("s3", **cloud.boto3_kwargs)``."""
        return {
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
        }

    @property
    def environment(self) -> dict[str, str]:
        """For processes that build a plain ``boto3.client("s3")``."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection, for ``AIRFLOW_CONN_AWS_DEFAULT`` as JSON."""
        return {
            "conn_type": "aws",
            "login": self.access_key,
            "password": self.secret_key,
            "extra": {"region_name": self.region, "endpoint_url": self.endpoint},
        }

    def client(self, service: str = "s3") -> Any:
        """A boto3 client of ``service``."""
        import boto3

        return boto3.client(service, **self.boto3_kwargs)


def interpreter() -> Path:
    """The Python of ministack's environment, which may not exist."""
    return Path(os.environ.get("MINISTACK_PYTHON") or REPOSITORY / ".venv-ministack" / "bin" / "python")


@contextmanager
def running(log: Path, services: str = "s3,sts") -> Iterator[Cloud]:
    """Start ministack, wait until it answers, and end it.

    :param log: the file that gets what it prints.
    :param services: those to offer, separated by commas.
    :raises RuntimeError: it ended or did not answer in time; the message holds the end of its log.
    """
    port = _free_port()
    environment = {
        **os.environ,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "SERVICES": services,
        "TMPDIR": str(log.parent),
        "PYTHONPATH": "",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [interpreter(), "-m", "ministack"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        cloud = Cloud(f"http://127.0.0.1:{port}")
        _wait_until_it_answers(cloud, process, log)
        yield cloud
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_it_answers(cloud: Cloud, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{cloud.endpoint}/_ministack/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"ministack did not start (exit code {process.poll()}):\n{log.read_text()[-2000:]}")
