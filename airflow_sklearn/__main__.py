"""``python -m airflow_sklearn``: the same as the command ``airflow-sklearn``."""

from __future__ import annotations

import sys

from airflow_sklearn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
