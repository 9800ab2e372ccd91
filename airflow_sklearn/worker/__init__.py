"""The container side: ``python -m airflow_sklearn.worker JOB_URI``. It never imports Airflow."""
