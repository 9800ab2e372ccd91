"""An Airflow worker that dies after it has submitted a job, and before it has deferred."""

from __future__ import annotations

import contextlib
import os
import signal

import psutil

from tests.cloud.observing import at_the_gate
from tests.cloud.workload import Workload
from tests.operators.database import Run
from tests.operators.real_airflow import RealAirflow

#: Waits where a task has submitted its job and has not yet been deferred, and says which process it is.
SLOW_TO_DEFER = """
import os, time
from pathlib import Path
from airflow_sklearn import {runtime}

class SlowToDefer({runtime}):
    def job_url(self, handle):
        if not handle.taken_over:
            Path(__file__).with_suffix(".pid").write_text(str(os.getpid()))
            time.sleep(600)
        return super().job_url(handle)
"""


def run_whose_worker_is_killed(airflow: RealAirflow, workload: Workload, model: str) -> Run:
    """A run of one chunk, whose worker is dead while its job waits at the gate."""
    kind = workload.runtime().partition("(")[0]
    module = f"slow_{kind.lower()}"
    airflow.add_file(f"{module}.py", SLOW_TO_DEFER.replace("{runtime}", kind))
    runtime = workload.runtime().replace(f"{kind}(", "SlowToDefer(", 1)
    body = f"from {module} import SlowToDefer\n" + workload.predict(
        model, runtime=runtime, deferrable="True", retries="2"
    )
    run = airflow.run(f"killed_worker_{kind.lower()}", body)
    at_the_gate(airflow, workload, run, count=1)
    task = psutil.Process(int((airflow.dags / f"{module}.pid").read_text()))
    for process in (task.parent(), task):  # the one that supervises the task, and the task: nobody reports its end
        assert process is not None
        with contextlib.suppress(ProcessLookupError):  # it went with the other one
            os.kill(process.pid, signal.SIGKILL)
    return run
