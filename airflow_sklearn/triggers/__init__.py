"""Triggers: waiting for a job or for statements in Redshift without a worker slot.

Airflow's database stores triggers by the names in this package, which must not change.
"""

from airflow_sklearn.triggers.job import RuntimeTrigger
from airflow_sklearn.triggers.statement import RedshiftStatementTrigger

__all__ = ["RedshiftStatementTrigger", "RuntimeTrigger"]
