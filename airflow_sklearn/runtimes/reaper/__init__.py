"""Finding and ending instances and containers whose Airflow task has ended, by their tags."""
