"""What level a worker's log line has."""

from __future__ import annotations

import logging
import re

from airflow_sklearn.contract import exit_codes

_LEVEL = re.compile(r"^(?:[\d:.,TZ+ \[\]-]{0,40})\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b[\]:]?\s*")

_ERROR_FOLLOWS = re.compile(re.escape(exit_codes.ERROR_FOLLOWS) + "$")
_LAST = re.compile(r"\bExit code \d+\.$")  # airflow_sklearn.worker.__main__ writes it


def split_level(line: str, previous: int = logging.INFO) -> tuple[int, str]:
    """The level that a line announces, and the line without it.

    :param previous: the level of the line before, which tracebacks and other continued lines inherit.
    """
    found = _LEVEL.match(line)
    if found:
        return logging.getLevelNamesMapping()[found[1]], line[found.end() :]
    return (previous if line[:1].isspace() or line.startswith("Traceback") else logging.INFO), line


def is_error_next(line: str) -> bool:
    """Whether the lines from the next one to the last are the error that the task itself will raise."""
    return _ERROR_FOLLOWS.search(line) is not None


def is_last(line: str) -> bool:
    """Whether this is the line with which every worker ends its log."""
    return _LAST.search(line) is not None
