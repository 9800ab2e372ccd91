"""``LocalRuntime``: the worker as a process of this machine."""

from airflow_sklearn.runtimes.local.runtime import LocalRuntime

__all__ = ["LocalRuntime"]
