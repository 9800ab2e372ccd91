"""A plain scikit-learn library: from Arrow tables to fitted estimators and named columns of predictions.

It knows nothing of Airflow, storage or containers, and is as useful in a notebook as in the worker.
"""
