"""Pools of containers for joblib. The common part of drivers and workers is here; each side has a folder of its own.

Imports no Airflow, and no numpy when it is imported, so that a worker's first process stays small.
"""
