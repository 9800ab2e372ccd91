"""The user data of an instance: a shell script for cloud-init, ``boot.sh`` with its values.

It installs Docker and a login to ECR only if the AMI has none, and nothing else. Its output is on the instance's
console, the only information if no container could start.
"""

from __future__ import annotations

import math
import re
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING

from airflow_sklearn.contract.document import Value
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES = 16_384  # before base64: "User data" in the Amazon EC2 user guide
#: The prefix of the script's own lines, so that they can be found on the console.
MARK = "airflow-sklearn: "

_ECR = re.compile(r"(?P<registry>\d{12}\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?)/")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class HostOptions(Value):
    """The options of ``airflow_sklearn.worker.ec2_host``."""

    pool: str
    number: str
    slots: int
    idle_timeout: float
    log_group: str
    log_region: str
    job_sha256: str = ""
    """Of the one job that it does."""
    plan: str = ""
    """The URI of the plan whose chunks it does, where there may be several. Neither: nothing pins its jobs."""


def user_data(image: str, host: HostOptions, env: Mapping[str, str], *, lifetime: float | None) -> str:
    """The script, not encoded.

    :param image: the worker's image, in Amazon ECR or in a registry that needs no login.
    :param host: the instance's options.
    :param env: environment variables for the worker. They must hold no secrets: whoever may describe the instance can
        read them.
    :param lifetime: seconds after which the instance ends in any case; None: when its work is done.
    :raises UserError: the script is longer than EC2's limit of 16 KiB, or a variable's name is invalid.
    """
    if wrong := [name for name in env if not _NAME.fullmatch(name)]:
        raise UserError(f"Ec2Runtime(env=...): {', '.join(map(repr, wrong))} is no name of a variable.")
    found = _ECR.match(image)
    arguments = [host.pool, host.number, "--places", str(host.slots), "--idle-timeout", f"{host.idle_timeout:g}"]
    for option, pin in (("--sha256", host.job_sha256), ("--plan", host.plan)):
        arguments += [option, pin] if pin else []
    if host.log_group:
        arguments += ["--log-group", host.log_group, "--log-region", host.log_region]
    variables = [option for name in sorted(env) for option in ("--env", f"{name}={env[name]}")]
    lines = [
        "#!/bin/bash",
        f"image={shlex.quote(image)}",
        f"registry={shlex.quote(found['registry'] if found else '')}",
        f"registry_region={shlex.quote(found['region'] if found else '')}",
        f"lifetime_minutes={math.ceil(lifetime / 60) if lifetime is not None else ''}",
        f"variables=({shlex.join(variables)})",
        f"arguments=({shlex.join(arguments)})",
        (files(__package__) / "boot.sh").read_text(encoding="utf-8"),
    ]
    text = "\n".join(lines)
    if (size := len(text.encode())) > _BYTES:
        largest = max(env, key=lambda name: len(str(env[name])))
        raise UserError(
            f"The instance's user data would have {size:,} bytes, EC2 takes {_BYTES:,}. The largest variable of "
            f"Ec2Runtime(env=...) is {largest} with {len(str(env[largest])):,} characters: put such values into the "
            "image, or into S3."
        )
    return text
