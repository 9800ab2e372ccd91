"""Commands under their earlier names: ``python -m airflow_sklearn.iam`` and ``python -m airflow_sklearn.reaper``.

``airflow_sklearn/__init__.py`` puts this folder on the package's path.
"""
