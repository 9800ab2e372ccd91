"""Airflow's side: one file an operator. Import them from ``airflow_sklearn``."""
