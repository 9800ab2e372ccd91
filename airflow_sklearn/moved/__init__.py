"""Commands under their former names: ``python -m airflow_sklearn.iam`` and ``python -m airflow_sklearn.reaper``.

``airflow_sklearn/__init__.py`` adds this folder to the package's path.
"""
