"""Of the tests in ``tests`` and in ``local_cloud/tests``."""

pytest_plugins = ["local_cloud.fixtures"]
