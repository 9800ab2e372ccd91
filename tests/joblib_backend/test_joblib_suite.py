"""joblib's own tests of parallel backends pass with containers in the place of its processes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_joblibs_own_tests_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.joblib_backend.joblib_suite"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    ran = re.search(r"(\d+) of its tests ran with containers", done.stdout)
    assert ran is not None
    assert int(ran[1]) > 200, "joblib calls its tests or its backends by other names: see the script"
    assert "were left out:" in done.stdout
