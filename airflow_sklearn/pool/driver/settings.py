"""The settings of a pool: how its containers work, and its time-outs."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage.uris import absolute_uri, split_scheme

if TYPE_CHECKING:
    from airflow_sklearn.runtimes.base import Runtime

STORAGE_VARIABLE = "AIRFLOW_SKLEARN_POOLS"


@dataclass(frozen=True)
class PoolSettings:
    """The settings of a pool. ``WorkerPool`` documents them."""

    processes: int = 1
    threads: int | None = None
    restarts: int = 2
    visibility_timeout: float = 30.0
    idle_timeout: float = 300.0
    driver_timeout: float = 60.0
    deadline: float | None = 86_400.0
    poll_interval: float | None = None

    def __post_init__(self) -> None:
        """Check the settings.

        :raises UserError: settings are invalid; the message lists all faults.
        """
        faults = [
            *(self._at_least(1, "processes")),
            *(self._at_least(1, "restarts")),
            *(() if self.threads is None else self._at_least(1, "threads")),
            *(
                f"{name}={value!r}: give seconds, more than 0"
                for name in ("visibility_timeout", "idle_timeout", "driver_timeout", "deadline", "poll_interval")
                if (value := getattr(self, name)) is not None and not (_is_number(value) and value > 0)
            ),
        ]
        if faults:
            raise UserError("A pool cannot run like this:\n" + "\n".join(f"  - {fault}" for fault in faults))

    @classmethod
    def names(cls) -> frozenset[str]:
        """The names of all settings."""
        return frozenset(field.name for field in fields(cls))

    def _at_least(self, least: int, name: str) -> list[str]:
        value = getattr(self, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        return [] if whole and value >= least else [f"{name}={value!r}: give a whole number, {least} or more"]


def pools_folder(storage: str | None, runtime: Runtime) -> str:
    """The folder in which pools of a runtime have their folders.

    :param storage: ``s3://bucket/folder`` or ``file:///folder``. None: the environment variable AIRFLOW_SKLEARN_POOLS,
        or the system's temporary folder for a ``LocalRuntime``.
    :param runtime: the pool's runtime.
    :raises UserError: no folder is given, containers elsewhere could not reach it, or it belongs to another user.
    """
    local = runtime.on_this_machine
    said = storage or os.environ.get(STORAGE_VARIABLE)
    if said is None:
        if not local:
            raise UserError(
                f"Where does a pool of {type(runtime).__name__} keep its arguments and large results? Say "
                f"storage='s3://bucket/folder', or set the environment variable {STORAGE_VARIABLE}."
            )
        said = f"file://{_own_folder(os.path.join(tempfile.gettempdir(), f'airflow-sklearn-pools-{os.getuid()}'))}"
    uri = absolute_uri(said).rstrip("/")
    if split_scheme(uri)[0] == "file" and not local:
        raise UserError(
            f"storage={said!r}: containers of {type(runtime).__name__} cannot reach this machine's files. Say "
            "storage='s3://bucket/folder'."
        )
    return uri


def _own_folder(path: str) -> str:
    """Make a folder that belongs to this user, and return its path. Its content is unpickled later.

    :raises UserError: other users can write to it.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    found = os.lstat(path)
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or others_write:
        raise UserError(
            f"{path} is no folder that only this user may write to, so pools cannot be there. Remove it, or say "
            "storage='file:///folder'."
        )
    return path


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
