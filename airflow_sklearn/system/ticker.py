"""A task that is repeated every few seconds in a thread."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Ticker(ABC):
    """Calls ``tick`` in a thread of its own while the context is open.

    :param interval: seconds between two calls.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def tick(self) -> None:
        """Do the repeated work once."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.tick()
