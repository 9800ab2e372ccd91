"""joblib's work in containers: what a pool's driver and its workers share is here, each side has a folder.

Imports neither Airflow nor, when it is imported, numpy: a worker's first process stays small.
"""
