"""A whole worker, for what a process says of its machine."""

from tests.worker.conftest import bench, table

__all__ = ["bench", "table"]
