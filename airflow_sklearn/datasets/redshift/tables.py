"""``RedshiftTable``, ``RedshiftQuery``: a table as an operator's ``source`` or ``destination``, a query as a source."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_sklearn import settings
from airflow_sklearn.contract.arguments import check_names, checked
from airflow_sklearn.contract.faults import kind_of
from airflow_sklearn.contract.tables import DataApi, OutputTable, RedshiftAccess, UnloadSource
from airflow_sklearn.datasets.files import short_repr
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage.uris import absolute_uri

if TYPE_CHECKING:
    from airflow_sklearn.contract.schema import Scalar

STAGING = "redshift_staging"
IAM_ROLE = "redshift_iam_role"


@dataclass(repr=False)
class RedshiftDataApi:
    """The Redshift Data API as the way to the database: it needs no network path, and a task can wait for it deferred.

    AWS credentials are those of the operator's ``aws_conn_id``. All fields may be Jinja templates.

    :param database: the database's name.
    :param workgroup_name: the workgroup of Redshift Serverless.
    :param cluster_identifier: the id of a provisioned cluster.
    :param db_user: the database's user, for a cluster with temporary credentials.
    :param secret_arn: a secret of AWS Secrets Manager with user and password.
    :param region_name: the region; None: the AWS connection's.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "database",
        "workgroup_name",
        "cluster_identifier",
        "db_user",
        "secret_arn",
        "region_name",
    )

    database: str
    workgroup_name: str | None = None
    cluster_identifier: str | None = None
    db_user: str | None = None
    secret_arn: str | None = None
    region_name: str | None = None

    __repr__ = short_repr

    def to_access(self) -> DataApi:
        """These arguments as a document."""
        return checked(DataApi, "The Data API's arguments", **{f.name: getattr(self, f.name) for f in _fields(self)})


@dataclass(repr=False)
class RedshiftTable:
    """A table or a view to read, or a table to write.

    All fields may be Jinja templates. Upper and lower case are kept in names. A part of ``table`` with upper case
    letters, or other characters than letters, digits and underscores, is quoted as in SQL: ``'sales."Daily Scores"'``.

    :param table: ``schema.table``. Without a schema, the first one in the user's search path is used.
    :param where: for reading, the rows to read. For writing with ``if_exists="replace"``, the rows that this run
        replaces. An SQL condition, with ``:name`` for each value of ``parameters``. It cannot leave the parentheses
        around it, but it can read whatever the database's user may read: write it yourself, and pass values from
        elsewhere by ``parameters``.
    :param parameters: values by name, for ``where``. They are bound, or quoted where Redshift accepts no parameters.
    :param limit: for reading, the most rows; it is not defined which ones.
    :param if_exists: for writing: ``fail``; ``append``; ``truncate`` (all rows are deleted, the table stays);
        ``replace`` (all rows, or those of ``partition`` or ``where``, are replaced; if all rows are, and the columns do
        not fit, the table is made again with its grants); ``upsert`` (rows with the same primary key are replaced).
    :param partition: for writing: columns that get these values in every row, such as ``{"ds": "{{ ds }}"}``. With
        ``if_exists="replace"`` a run replaces the rows with these values, as backfills need it.
    :param diststyle: for a table that is created: ``auto``, ``even``, ``all`` or ``key``.
    :param distkey: for a table that is created: the column by which rows are distributed.
    :param sortkey: for a table that is created: the column or columns by which rows are sorted.
    :param column_types: for a table that is created: Redshift types by column, such as ``{"region": "varchar(16)"}``.
    :param redshift_conn_id: the Airflow connection to the database.
    :param data_api: use the Redshift Data API instead.
    :param iam_role: the role for UNLOAD and COPY: ``default``, a role's ARN, or several that are assumed in turn.
        Default: ``[airflow_sklearn] redshift_iam_role``.
    :param staging: a folder in S3 for unloaded rows, ledgers and COPY's manifests. Default: ``[airflow_sklearn]
        redshift_staging``.
    :param keep_unloaded: do not delete the unloaded rows in S3 after their use.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "table",
        "where",
        "parameters",
        "limit",
        "if_exists",
        "partition",
        "diststyle",
        "distkey",
        "sortkey",
        "column_types",
        "redshift_conn_id",
        "data_api",
        "iam_role",
        "staging",
    )

    table: str
    where: str = ""
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    limit: int | str | None = None
    if_exists: str = "fail"
    partition: Mapping[str, Scalar] = field(default_factory=dict)
    diststyle: str | None = None
    distkey: str | None = None
    sortkey: str | Sequence[str] = ()
    column_types: Mapping[str, str] = field(default_factory=dict)
    redshift_conn_id: str = "redshift_default"
    data_api: RedshiftDataApi | None = None
    iam_role: str | Sequence[str] | None = None
    staging: str | None = None
    keep_unloaded: bool = False

    __repr__ = short_repr

    @property
    def uri(self) -> str:
        """The table's URI for assets, when the DAG is parsed. Templates are not rendered."""
        from airflow_sklearn.datasets.redshift.sql import parse_table

        if "{{" in self.table or "{%" in self.table:
            return self.table
        return self.access().uri_of(parse_table(self.table))

    def access(self) -> RedshiftAccess:
        """How to reach the database and S3.

        :raises UserError: the arguments contradict each other, or are incomplete.
        """
        return _access(self)

    def to_source(self) -> UnloadSource:
        """The table as a source.

        :raises UserError: the arguments contradict each other, or are incomplete; the message lists all faults.
        """
        from airflow_sklearn.datasets.redshift.sql import contained, parse_table

        return checked(
            UnloadSource,
            f"The source {self.table!r}",
            table=parse_table(self.table),
            where=contained(self.where, "where") if self.where else "",
            parameters=_values(self.parameters, "parameters"),
            limit=_limit(self.limit),
            access=_checked_access(self),
            staging=_staging(self.staging),
            keep_unloaded=self.keep_unloaded,
        )

    def to_output(self) -> OutputTable:
        """The table as a destination.

        :raises UserError: the arguments contradict each other, or are incomplete; the message lists all faults.
        """
        from airflow_sklearn.datasets.redshift.sql import contained, parse_table

        if self.limit is not None:
            raise UserError(f"The destination {self.table!r} has a limit: that goes with a source.")
        return checked(
            OutputTable,
            f"The destination {self.table!r}",
            table=parse_table(self.table),
            if_exists=self.if_exists,
            where=contained(self.where, "where") if self.where else "",
            parameters=_values(self.parameters, "parameters"),
            partition=_values(self.partition, "partition"),
            diststyle=self.diststyle,
            distkey=self.distkey,
            sortkey=(self.sortkey,) if isinstance(self.sortkey, str) and self.sortkey else tuple(self.sortkey),
            column_types=_mapping(self.column_types, "column_types"),
            access=_checked_access(self),
            staging=_staging(self.staging),
        )


@dataclass(repr=False)
class RedshiftQuery:
    """The rows of a query, as a source.

    All fields may be Jinja templates.

    :param sql: one SELECT (or WITH ... SELECT), with ``:name`` for each value of ``parameters``. It is put into
        parentheses, so that it may end in LIMIT.
    :param parameters: values by name.
    :param limit: the most rows; it is not defined which ones.
    :param redshift_conn_id: see ``RedshiftTable``, also for ``data_api``, ``iam_role``, ``staging`` and
        ``keep_unloaded``.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "sql",
        "parameters",
        "limit",
        "redshift_conn_id",
        "data_api",
        "iam_role",
        "staging",
    )

    sql: str
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    limit: int | str | None = None
    redshift_conn_id: str = "redshift_default"
    data_api: RedshiftDataApi | None = None
    iam_role: str | Sequence[str] | None = None
    staging: str | None = None
    keep_unloaded: bool = False

    __repr__ = short_repr

    def access(self) -> RedshiftAccess:
        """How to reach the database and S3.

        :raises UserError: the arguments contradict each other, or are incomplete.
        """
        return _access(self)

    def to_source(self) -> UnloadSource:
        """The query as a source.

        :raises UserError: it is not exactly one query, or the arguments are incomplete.
        """
        from airflow_sklearn.datasets.redshift.sql import contained_query

        return checked(
            UnloadSource,
            "The query",
            sql=contained_query(self.sql),
            parameters=_values(self.parameters, "parameters"),
            limit=_limit(self.limit),
            access=_checked_access(self),
            staging=_staging(self.staging),
            keep_unloaded=self.keep_unloaded,
        )


def from_mapping(arguments: Mapping[str, Any]) -> RedshiftTable | RedshiftQuery | None:
    """The object of a dict of its arguments, as an upstream task may return it; None if they are another one's."""
    if "table" in arguments:
        return cast("RedshiftTable", _made(RedshiftTable, arguments))
    return cast("RedshiftQuery", _made(RedshiftQuery, arguments)) if "sql" in arguments else None


def _made(kind: Any, arguments: Mapping[str, Any]) -> Any:
    known = {f.name: f for f in _fields(kind)}
    check_names(kind.__name__, arguments, known)
    needed = {f.name for f in known.values() if MISSING is f.default and MISSING is f.default_factory}
    if missing := sorted(needed - set(arguments)):
        raise UserError(f"A {kind.__name__} needs {missing}; {sorted(arguments)} are given.")
    return kind(**arguments)


def _mapping(given: Any, argument: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UserError(f"{argument}={given!r} is {kind_of(given)}: give a dict, by name.")
    return dict(given)


def _values(given: Any, argument: str) -> dict[str, Scalar]:
    """Values as the documents hold them: a date, a time or a decimal as its text, which Redshift reads back."""
    return {
        name: str(value) if isinstance(value, date | Decimal) else value
        for name, value in _mapping(given, argument).items()
    }


def _checked_access(place: RedshiftTable | RedshiftQuery) -> RedshiftAccess:
    """How the database is reached, once templates are rendered."""
    from airflow_sklearn.datasets.redshift.sql import iam_role

    access = _access(place)
    iam_role(access.iam_role)
    return access


def _access(place: RedshiftTable | RedshiftQuery) -> RedshiftAccess:
    api = _made(RedshiftDataApi, place.data_api) if isinstance(place.data_api, Mapping) else place.data_api
    if api is not None and not isinstance(api, RedshiftDataApi):
        raise UserError(f"data_api={api!r} is {kind_of(api)}: give a RedshiftDataApi(...), or None.")
    role = place.iam_role or settings.text(IAM_ROLE)
    return checked(
        RedshiftAccess,
        "How Redshift is reached",
        redshift_conn_id=place.redshift_conn_id,
        data_api=api.to_access() if api else None,
        iam_role=role if isinstance(role, str) else ",".join(role),
    )


def _staging(given: str | None) -> str:
    uri = given or settings.text(STAGING)
    if not uri:
        raise UserError(
            "Redshift needs a folder in S3 for what goes between it and the containers. Give staging='s3://...', or "
            f"set [airflow_sklearn] {STAGING} for all DAGs."
        )
    if not absolute_uri(uri).startswith("s3://"):
        raise UserError(f"staging={uri!r} is not in S3: Redshift's UNLOAD and COPY reach nothing else.")
    return uri.rstrip("/")


def _limit(given: int | str | None) -> int | None:
    if given is None or given == "":
        return None
    try:
        return int(given)
    except ValueError:
        raise UserError(f"limit={given!r} is no whole number.") from None


def _fields(of: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(of)
