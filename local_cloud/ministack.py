"""Amazon S3: ministack, a local AWS, as a process on a free loopback port.

It lives in an environment of its own because it pins its own botocore; ``MINISTACK_PYTHON`` names that environment's
interpreter, ``.venv-ministack/bin/python`` (made by ``make test``) is where it is otherwise looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.processes import REPOSITORY, free_port, process


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

    def client(self, service: str = "s3", attempts: int | None = None) -> Any:
        """A boto3 client of ``service``.

        :param attempts: how often a call is tried at most; default: boto3's own.
        """
        import boto3
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": attempts}) if attempts else None
        return boto3.client(service, **self.boto3_kwargs, config=config)


def interpreter() -> Path:
    """The Python of ministack's environment, which may not exist."""
    return Path(os.environ.get("MINISTACK_PYTHON") or REPOSITORY / ".venv-ministack" / "bin" / "python")


@contextmanager
def running(log: Path, services: str = "s3,sts") -> Iterator[Cloud]:
    """Start ministack on a free loopback port, wait until it answers, and end it.

    :param log: the file that gets what it prints.
    :param services: those to offer, separated by commas.
    :raises RuntimeError: it ended or did not answer in time; the message holds the end of its log.
    """
    no_engine = {"DOCKER_HOST": "unix:///dev/null"}  # tasks of ECS are records only; container_cloud.py has real ones
    with serving("127.0.0.1", free_port("127.0.0.1"), log, services, environment=no_engine) as cloud:
        yield cloud


@contextmanager
def serving(
    host: str,
    port: int,
    log: Path,
    services: str,
    module: str = "ministack",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Cloud]:
    """As :func:`running`, on an address of one's own.

    :param module: what is run: ministack, or something around it.
    :param environment: variables for it, beside its own.
    """
    settings = {
        **os.environ,
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "SERVICES": services,
        "TMPDIR": str(log.parent),
        "PYTHONPATH": str(REPOSITORY),
        **(environment or {}),
    }
    cloud = Cloud(f"http://{host}:{port}")
    with process([str(interpreter()), "-m", module], log, f"{cloud.endpoint}/_ministack/health", settings):
        yield cloud
