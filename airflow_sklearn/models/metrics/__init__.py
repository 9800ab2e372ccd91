"""Metrics of predictions: functions on arrays, and a registry of them.

To add a metric, write a function of a ``Scored`` in ``classes``, ``curves`` or ``regression``, and register it with
``@metric``. It is then in every ``metrics.json``.
"""
