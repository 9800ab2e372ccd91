"""What level a worker's log line has."""

from __future__ import annotations

import logging
import re

_LEVEL = re.compile(r"^(?:[\d:.,TZ+ \[\]-]{0,40})\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b[\]:]?\s*")

_LAST = re.compile(r"\bExit code \d+\.$")  # airflow_sklearn.worker.__main__ writes it


def split_level(line: str, previous: int = logging.INFO) -> tuple[int, str]:
    """The level that a line announces, and the line without it.

    :param previous: the level of the line before, which tracebacks and other continued lines inherit.
    """
    found = _LEVEL.match(line)
    if found:
        return logging.getLevelNamesMapping()[found[1]], line[found.end() :]
    return (previous if line[:1].isspace() or line.startswith("Traceback") else logging.INFO), line


def is_last(line: str) -> bool:
    """Whether this is the line with which every worker ends its log."""
    return _LAST.search(line) is not None
