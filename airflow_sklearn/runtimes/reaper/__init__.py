"""What was left running for tasks of Airflow that have ended is found by its tags, and ended."""
