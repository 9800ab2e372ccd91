"""``python -m airflow_sklearn.iam``."""

from __future__ import annotations

import sys

from airflow_sklearn.aws.iam.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
