"""The documents that Airflow's side and the containers exchange through storage.

Imports only the standard library and pydantic.
"""
