from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
#: Says what a suite says, and fails in the part of that name.
MAKE = """#!/bin/sh
shift
echo "output of $*"
case "$1" in
  bad) echo "=== 1 failed, 2 passed in 3.45s ==="; echo "make: *** [Makefile:1: bad] Error 1"; exit 2;;
  lint) echo "All checks passed!";;
  *) echo "=== 3 passed in 1.23s ===";;
esac
"""


def beside(folder: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    make = folder / "make"
    make.write_text(MAKE)
    make.chmod(0o700)
    command = [sys.executable, "-m", "tests.beside", *parts]
    environment = {**os.environ, "MAKE": str(make)}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_all_parts_pass_and_the_last_lines_say_how_many_tests_did(tmp_path: Path) -> None:
    done = beside(tmp_path, "lint", 'good PART="1 2"')
    assert done.returncode == 0
    assert "output of good PART=1 2\n" in done.stdout
    *_, first, _, second, _ = done.stdout.splitlines()
    assert all(": passed, 0:0" in line for line in (first, second))
    assert {"=== 3 passed in 1.23s ===", "All checks passed!"} == set(done.stdout.splitlines()[-3::2])


def test_one_part_fails_all_and_its_output_comes_last(tmp_path: Path) -> None:
    done = beside(tmp_path, "bad", "good", "lint")
    assert done.returncode == 1
    assert done.stdout.index("output of bad") > max(done.stdout.index(f"output of {name}") for name in ("good", "lint"))
    *_, last, closing = done.stdout.splitlines()
    assert last.startswith("bad: FAILED (exit code 2), ")
    assert closing == "=== 1 failed, 2 passed in 3.45s ==="
