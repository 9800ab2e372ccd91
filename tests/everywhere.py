"""``make test`` closes with this: each module of tests ran in at least one environment.

::

    python -m tests.everywhere .ran/test-airflow3 .ran/test-airflow2 .ran/test-worker

The files are what ``pytest --ran FILE`` writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parent


def main() -> None:
    ran = {line for file in sys.argv[1:] for line in Path(file).read_text().splitlines()}
    modules = {path.relative_to(TESTS.parent).as_posix() for path in TESTS.rglob("test_*.py")}
    if nowhere := sorted(modules - ran):
        sys.exit(
            "No test of these modules ran in any environment: see AIRFLOW_3 in tests/conftest.py\n" + "\n".join(nowhere)
        )
    print(f"Each of the {len(modules)} modules of tests ran in at least one environment.")


if __name__ == "__main__":
    main()
