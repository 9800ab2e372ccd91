"""Reading the lines of a worker's log."""

from __future__ import annotations

import logging
import re

from airflow_sklearn.contract import exit_codes

_LEVEL = re.compile(r"^(?:[\d:.,TZ+ \[\]-]{0,40})\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b[\]:]?\s*")

_ERROR_FOLLOWS = re.compile(re.escape(exit_codes.ERROR_FOLLOWS) + "$")
_LAST = re.compile(r"\bExit code \d+\.$")  # airflow_sklearn.worker.__main__ writes it


def split_level(line: str, previous: int = logging.INFO) -> tuple[int, str]:
    """The level at the beginning of a log line, and the line without it.

    :param line: a line of a worker's log.
    :param previous: the level of the line before. A line without a level, as in a traceback, has this one.
    """
    found = _LEVEL.match(line)
    if found:
        return logging.getLevelNamesMapping()[found[1]], line[found.end() :]
    return (previous if line[:1].isspace() or line.startswith("Traceback") else logging.INFO), line


def is_error_next(line: str) -> bool:
    """Whether the lines from the next one to the last are the error that the task itself will raise."""
    return _ERROR_FOLLOWS.search(line) is not None


def is_last(line: str) -> bool:
    """Whether this is the last line of a worker's log; see ``exit_codes.last_line``."""
    return _LAST.search(line) is not None
