"""A demonstration on real data: `make demo` and `make airflow`."""
