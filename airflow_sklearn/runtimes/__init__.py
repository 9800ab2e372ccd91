"""Runtimes: the places where jobs run. Nothing here knows about models, or looks up Airflow connections."""
