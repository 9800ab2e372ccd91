"""What a train job imports to search in further containers: its image has neither Airflow nor psutil."""

from __future__ import annotations

import subprocess
import sys


def test_the_backends_are_registered_without_what_a_worker_image_lacks() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('airflow', 'psutil', 'redshift_connector')))\n"
        "import airflow_sklearn.joblib_backend, airflow_sklearn.runtimes.ec2, airflow_sklearn.runtimes.ecs\n"
        "from joblib.parallel import BACKENDS; print(sorted({'containers', 'ecs', 'ec2'} & set(BACKENDS)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("['containers', 'ec2', 'ecs']", "")
