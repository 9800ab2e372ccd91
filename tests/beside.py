"""``make test``: lint and the suites beside each other, because most tests wait for others most of their time.

::

    python -m tests.beside lint 'test-airflow3 PYTEST_OPTIONS="--part 1/2"' ...

Each part is what ``make`` does for these arguments, in a process of its own. Its output is kept and printed whole when
the part has ended, so that outputs do not mix; those of the parts that failed come last. The summary closes with how
each part closed.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

#: Parts at the same moment. Each waits about half of its time; more of them would only slow each other down.
AT_ONCE = 1 + (os.cpu_count() or 1)


@dataclass
class Part:
    """One of the parts, once it runs."""

    name: str
    log: Path
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [os.environ.get("MAKE", "make"), "--no-print-directory", *shlex.split(self.name)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def ended(self) -> bool:
        if not self.seconds and self.process.poll() is not None:
            self.seconds = time.monotonic() - self.began
        return bool(self.seconds)

    @property
    def passed(self) -> bool:
        return self.process.returncode == 0

    def show(self) -> None:
        say(f"\n----- {self.name}\n{self.log.read_text(errors='replace').rstrip()}\n")

    def summary(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        outcome = "passed" if self.passed else f"FAILED (exit code {self.process.returncode})"
        lines = self.log.read_text(errors="replace").split("\n")
        return f"{self.name}: {outcome}, {minutes}:{seconds:02}\n{closing(lines)}"


def closing(lines: list[str]) -> str:
    """A part's last line, of pytest if there is one: ``make`` itself adds one below where something failed."""
    said = [line for line in lines if line.strip() and not line.startswith("make")]
    ends = [line for line in said if re.search(r"\d (passed|failed|skipped|deselected|errors?)\b.* in [\d.]+s", line)]
    return (ends or said or [""])[-1]


def say(text: str) -> None:
    print(text, flush=True)


def run(names: list[str], folder: Path) -> list[Part]:
    """All parts, in the order of their ends."""
    waiting, running, ended = list(names), list[Part](), list[Part]()
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(Part(waiting.pop(0), folder / f"{len(waiting)}.log"))
                say(f"{running[-1].name}: begins")
            for part in [part for part in running if part.ended]:
                running.remove(part)
                ended.append(part)
                if part.passed:
                    part.show()
                else:
                    say(f"{part.name}: FAILED, its output follows at the end")
            time.sleep(0.2)
    finally:  # nothing goes on when this is interrupted
        for part in running:
            part.process.terminate()
        for part in running:
            part.process.wait()
    return ended


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="airflow-sklearn-parts-") as folder:
        parts = sorted(run(sys.argv[1:], Path(folder)), key=lambda part: not part.passed)
        for part in parts:
            if not part.passed:
                part.show()
        say("\n".join(part.summary() for part in parts))
        sys.exit(not all(part.passed for part in parts))


if __name__ == "__main__":
    main()
