"""The container side: ``python -m airflow_sklearn.worker JOB_URI``. Never imports Airflow."""
