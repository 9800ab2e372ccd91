"""Noticing instances that no longer write heartbeats into their pool."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.runtimes.ec2.job_queue import beats

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_sklearn.contract.job_queue import Placement
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger(__name__)
_EVERY = 30.0  # seconds between two listings of a pool's beats
_LONGEST_GAP = 120.0  # seconds between listings; a longer pause does not count as an instance's silence
_FORGET_AFTER = 3600.0  # seconds after the last question


@dataclass
class Silence:
    """How long an instance has written no heartbeat.

    :param seconds: the time since its last heartbeat was first seen, or since it was first looked for.
    """

    beat: str = ""
    seconds: float = 0.0
    asked_at: float = 0.0

    @property
    def heard(self) -> bool:
        """Whether the instance has written any heartbeat."""
        return bool(self.beat)


class HeartbeatMonitor:
    """How long instances have written no heartbeat, by this process's clock.

    The knowledge is this process's own: in another process all instances start anew.
    """

    def __init__(self) -> None:
        self._silences: dict[tuple[str, str], Silence] = {}
        self._refreshed: dict[str, float] = {}

    def silence_of(self, placement: Placement) -> Silence:
        """The silence of the instance of a job, as of the last ``refresh``."""
        silence = self._silences.setdefault((placement.pool, placement.number), Silence())
        silence.asked_at = time.monotonic()
        return silence

    def refresh(self, storage: Storage, pools: Collection[str]) -> None:
        """List the heartbeats of pools, at most every 30 seconds. A pool that cannot be listed keeps its state.

        :param storage: where the pools are.
        :param pools: URIs of pools.
        """
        now = time.monotonic()
        for pool in pools:
            gap = now - self._refreshed.setdefault(pool, now)
            if gap < _EVERY:
                continue
            try:
                heard = beats(storage, pool)
            except Exception as error:
                _LOG.info("The beats in %s could not be listed this time: %s", pool, error)
                continue
            self._refreshed[pool] = now
            self._note(pool, heard, min(gap, _LONGEST_GAP))
        self._silences = {key: one for key, one in self._silences.items() if now - one.asked_at < _FORGET_AFTER}
        of_use = {pool for pool, _ in self._silences} | set(pools)
        self._refreshed = {pool: moment for pool, moment in self._refreshed.items() if pool in of_use}

    def _note(self, pool: str, heard: dict[str, str], gap: float) -> None:
        for (where, number), silence in self._silences.items():
            if where != pool:
                continue
            beat = heard.get(number, silence.beat)
            silence.seconds = silence.seconds + gap if beat == silence.beat else 0.0
            silence.beat = beat
