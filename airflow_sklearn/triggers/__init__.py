"""Waiting without a worker slot: for a job, or for statements in Redshift.

Airflow's database holds triggers by the names that they have here.
"""

from airflow_sklearn.triggers.job import RuntimeTrigger
from airflow_sklearn.triggers.statement import RedshiftStatementTrigger

__all__ = ["RedshiftStatementTrigger", "RuntimeTrigger"]
