"""What the driver of a pool of containers and its workers share: where things are, queues, seals, pickles.

Imports neither Airflow nor, when it is imported, numpy: a worker's first process stays small.
"""
