"""``python -m airflow_sklearn.worker.host``: the command of instances, whatever version their image has."""

from __future__ import annotations

import sys

from airflow_sklearn.worker.ec2_host.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
