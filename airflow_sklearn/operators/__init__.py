"""The operators, one file each. Import them from ``airflow_sklearn``."""
