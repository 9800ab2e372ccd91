"""Opening a Redshift database by a connection or the Data API. No other module decides which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_sklearn.aws.connection import AwsConnection
    from airflow_sklearn.contract.tables import RedshiftAccess
    from airflow_sklearn.datasets.base import Attempt
    from airflow_sklearn.datasets.redshift.database import Database


def open_database(
    access: RedshiftAccess,
    aws: AwsConnection,
    *,
    tag: str,
    statements: dict[str, str] | None = None,
    wait: bool = True,
) -> Database:
    """The database for one attempt of one task. Nothing is looked up or connected before the first statement.

    :param access: how to reach the database.
    :param aws: credentials for the Data API, and for connections that authenticate by IAM.
    :param tag: the query group of the statements, by which an administrator finds them.
    :param statements: ids, by step, of the statements that ran before the task was deferred. Each submission is added.
        Not used by a connection, whose statements end with their task.
    :param wait: whether to wait for statements. False in a deferrable task: ``StatementRunningError`` says what runs.
    """
    if access.data_api is None:
        from airflow_sklearn.datasets.redshift.sql_database import SqlDatabase

        return SqlDatabase(access.redshift_conn_id, aws.aws_conn_id, tag=tag)
    from airflow_sklearn.datasets.redshift.data_api import DataApiDatabase

    api = access.data_api
    return DataApiDatabase(
        lambda: aws.client("redshift-data", api.region_name), api, tag=tag, statements=statements, wait=wait
    )


def connect(attempt: Attempt, access: RedshiftAccess) -> Database:
    """The database for an attempt of a task. Its statements are tagged with the task's name.

    :raises TypeError: the attempt has no credentials.
    """
    if attempt.aws is None:
        raise TypeError("A database is reached with the credentials of an Airflow connection: give the attempt one.")
    aws = attempt.aws
    return attempt.connect(
        access.model_dump_json(),
        lambda: open_database(access, aws, tag=attempt.tag, statements=attempt.statements, wait=attempt.may_wait),
    )
