"""``python run_dag.py FILE`` runs a DAG by ``dag.test()``, in the Airflow that this Python has. It needs nothing else.

The last line that it prints is JSON: the run's state, and the state of each task.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def run(path: Path) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    dag_run = module.dag.test()
    tasks = {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in dag_run.get_task_instances()}
    return {"state": str(dag_run.state).removeprefix("DagRunState.").lower(), "tasks": tasks}


if __name__ == "__main__":
    told = run(Path(sys.argv[1]))
    print(json.dumps(told), flush=True)
