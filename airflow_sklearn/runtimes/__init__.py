"""Where a job runs. Nothing here knows of models, nor looks up Airflow connections."""
