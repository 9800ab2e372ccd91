"""SIGTERM and SIGINT cancel a job in an orderly way, at whatever point it is."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.exit_codes import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds that a job gets to react to a signal. Python runs no handler during a long call of C code; the process is
#: then ended from another thread. Less than the 10 s between Docker's SIGTERM and SIGKILL.
PATIENCE = 8.0
_LISTENING: list[Stopping] = []
_AGAIN = 0.01  # seconds after which a dropped exception is raised again


class Stopping:
    """Raises ``Cancelled`` in the main thread once, at the first signal.

    Python runs a signal handler between any two instructions. In code that the garbage collector or a fork runs, Python
    prints and drops exceptions; the exception is then raised again. Signals that arrive while the job cleans up or
    writes its result change nothing.

    :param stuck: called in another thread when the main thread did not react to a signal within ``PATIENCE`` seconds.
        It must end the process.
    """

    def __init__(self, stuck: Callable[[Cancelled], None]) -> None:
        self._stuck = stuck
        self._raised: Cancelled | None = None
        self._noticed = threading.Event()
        self._closed = False
        self.held = False
        self._late = 0  # a signal that arrived while signals were held

    def raise_late(self) -> None:
        """Raise the exception for a signal that arrived while signals were held.

        :raises Cancelled: there was one.
        """
        if self._late:
            self._handle(self._late, None)

    def close(self) -> None:
        """Ignore all further signals: the job's result is being written."""
        self._closed = True

    @contextlib.contextmanager
    def listening(self) -> Iterator[Stopping]:
        """Handle the signals that arrive within the context. Only the main thread may enter it."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self._hook = hook
        wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        _LISTENING.append(self)
        threading.Thread(target=self._watch, args=(reading,), name="signal-watch", daemon=True).start()
        try:
            yield self
        finally:
            _LISTENING.remove(self)
            signal.set_wakeup_fd(wakeup)
            sys.unraisablehook = hook
            for number, handler in before.items():
                signal.signal(number, handler)
            self._closed = True
            self._noticed.set()
            os.close(writing)  # ends the thread

    def _handle(self, number: int, _: Any) -> None:
        self._noticed.set()
        if self.held:
            self._late = number
        if self.held or self._closed or self._raised is not None:
            return
        self._raised = Cancelled(f"stopped by {signal.Signals(number).name}")
        raise self._raised

    def _unraisable(self, lost: Any) -> None:
        if lost.exc_value is not self._raised or self._raised is None:
            self._hook(lost)
            return
        self._raised = None
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), signal.SIGTERM))
        again.daemon = True
        again.start()

    def _watch(self, reading: int) -> None:
        """Check that the main thread reacts to each signal.

        The operating system's handler writes each signal into a pipe at once, even if the main thread is busy.
        """
        with open(reading, "rb", buffering=0) as signals:
            while arrived := signals.read(1):
                if arrived[0] not in SIGNALS or self._closed:
                    continue
                if not self._noticed.wait(PATIENCE):
                    self._stuck(Cancelled(f"stopped by {signal.Signals(arrived[0]).name}"))


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Delay the job's signals within the context to its end.

    Blocking the signals in the main thread would not do: the operating system would give them to another thread, and
    Python would still run the handler in the main thread.

    :raises Cancelled: a signal arrived within the context.
    """
    listener = _LISTENING[-1] if _LISTENING else None
    if listener is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    listener.held = True
    try:
        yield
    finally:
        listener.held = False
    listener.raise_late()
