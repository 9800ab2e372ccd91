"""``python -m airflow_sklearn.reaper``."""

from __future__ import annotations

import sys

from airflow_sklearn.runtimes.reaper.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
