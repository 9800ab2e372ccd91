"""Waiting for what other processes and threads do: as long as the local cloud does."""

from local_cloud.waiting import PATIENCE, wait_for

__all__ = ["PATIENCE", "wait_for"]
