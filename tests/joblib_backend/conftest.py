"""The pools of the driver's tests."""

from tests.pool.driver.conftest import local_pool, shared_pool

__all__ = ["local_pool", "shared_pool"]
