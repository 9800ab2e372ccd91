"""The content of the handle of a local process."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from airflow_sklearn.runtimes.job_data import JobData
from airflow_sklearn.system.processes import Process


class LocalJobData(JobData):
    """One process of one machine, and the folder with its log."""

    folder: Path
    survives_parent: bool = Field(False, alias="detached")
    """Whether the process outlives the task that started it."""
    host: str
    """The name of the machine."""
    pid: int
    started: float
    """Seconds since the epoch."""
    group: int
    """The process group, which holds all that the process started."""
    parent_pid: int = 0
    parent_started: float = 0.0

    @property
    def process(self) -> Process:
        """The job's process.

        :raises UserError: it runs on another machine.
        """
        return Process.from_dict(self.model_dump())

    @property
    def parent(self) -> Process:
        """The process of the task that started the job.

        :raises UserError: it runs on another machine.
        """
        return Process.from_dict(self.model_dump(), "parent_")
