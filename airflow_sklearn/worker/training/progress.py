"""Progress of a training in its log: reading, and the steps of a search. Folds are told by ``models.validation``."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from sklearn.model_selection import _search

from airflow_sklearn.contract.progress_lines import RowProgress, StepProgress, remaining, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger("airflow_sklearn.worker")


class _Pace:
    """Says when the next line is due: at most one in ten seconds."""

    def __init__(self) -> None:
        self._interval = seconds_between()
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._interval:
            return False
        self._last = now
        return True


class ReadingProgress:
    """Logs how far reading a table has come.

    :param total: bytes of the source.
    """

    def __init__(self, total: int) -> None:
        self._total, self._rows, self._bytes = total, 0, 0
        self._started, self._pace = time.monotonic(), _Pace()

    def advance(self, rows: int, size: int) -> None:
        """Count rows and bytes that were read."""
        self._rows += rows
        self._bytes += size
        if self._pace.is_due():
            seconds = time.monotonic() - self._started
            share = min(1.0, self._bytes / self._total) if self._total else 1.0
            rate, rest = self._rows / seconds, remaining(share, 1, seconds)
            _LOG.info(RowProgress(self._rows, share, self._total, rate, rest, "Reading").line())


class _SearchSteps:
    """Counts the fits of a search in this process. A search in threads may end them in any order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin((0, 0))

    def _begin(self, size: tuple[int, int]) -> None:
        self._size, self._done, self._started, self._pace = size, 0, time.monotonic(), _Pace()

    def start(self, candidate: tuple[int, int], split: tuple[int, int]) -> None:
        """Note that a fit begins.

        :param candidate: the number of its combination, from 0 on, and their count.
        :param split: the number of its fold, from 0 on, and their count.
        """
        with self._lock:
            size = (candidate[1], split[1])
            # Another search, or the next round of a halving one.
            if size != self._size or self._done == size[0] * size[1]:
                self._begin(size)

    def end(self) -> None:
        """Count a fit, and log a line if one is due, or if it was the last one."""
        with self._lock:
            self._done += 1
            total = self._size[0] * self._size[1]
            if self._pace.is_due() or self._done == total:
                seconds = time.monotonic() - self._started
                rest = remaining(self._done, total, seconds)
                note = f"{self._size[0]:,} combinations in {self._size[1]} folds, {seconds:,.0f} s so far"
                _LOG.info(StepProgress("Search step", self._done, total, note, rest).line())


_steps = _SearchSteps()
# The function that scikit-learn's searches (1.6 to 1.9) call for each combination and fold. They have no public way to
# learn of steps that works in all these versions; if the function is gone, searches just report nothing.
_original: Any = getattr(_search, "_fit_and_score", None)


def _counted_fit_and_score(*args: Any, **kwargs: Any) -> Any:
    """Do what scikit-learn's function does, and count it. A process of a search's own finds it by its name."""
    candidate, split = kwargs.get("candidate_progress"), kwargs.get("split_progress")
    if candidate is None or split is None:
        return _original(*args, **kwargs)
    _steps.start(candidate, split)
    found = _original(*args, **kwargs)
    _steps.end()
    return found


@contextlib.contextmanager
def telling_search_steps(here: bool = True) -> Iterator[None]:
    """Within the context, searches of scikit-learn log their steps, whether they are the job's or an estimator's own.

    :param here: False: the fits run in further containers, and are not counted.
    """
    if not here or _original is None:
        yield
        return
    _search._fit_and_score = _counted_fit_and_score
    try:
        yield
    finally:
        _search._fit_and_score = _original
