"""IAM policies of least privilege, printed by ``python -m airflow_sklearn.iam``. Standard library only, no Airflow."""
