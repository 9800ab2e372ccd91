"""The only place where it is settled by which way statements go to a Redshift database."""

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
    """The database of one attempt of one task. Nothing is looked up or connected before it runs a statement.

    :param aws: credentials: of the Data API, and of connections that authenticate by IAM.
    :param tag: by which an administrator finds the statements: their query group.
    :param statements: ids by step of what ran before the task was deferred; grows with each submission. Of no use to a
        connection, whose statements end with their task.
    :param wait: false in a deferrable task: ``StatementRunningError`` says what to wait for.
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
    """The database, for one attempt of a task, with its statements tagged by who runs them.

    :raises TypeError: the attempt has no credentials to look for.
    """
    if attempt.aws is None:
        raise TypeError("A database is reached with the credentials of an Airflow connection: give the attempt one.")
    aws = attempt.aws
    return attempt.connect(
        access.model_dump_json(),
        lambda: open_database(access, aws, tag=attempt.tag, statements=attempt.statements, wait=attempt.may_wait),
    )
