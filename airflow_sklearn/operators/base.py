"""What the package's operators share: storage, errors that know whether a retry helps, assets, and template objects."""

from __future__ import annotations

import contextlib
import copy
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_sklearn import exceptions
from airflow_sklearn.airflow_compat import AirflowFailException, Asset, BaseOperator
from airflow_sklearn.aws import AwsConnection
from airflow_sklearn.datasets import absolute_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_LONGEST_ASSET_URI = 1500  # characters, in Airflow 3; Airflow 2's database may refuse a longer one when all is done

#: Errors that the same attempt would meet again. Others, such as a source that is not there yet, are worth a retry.
FINAL_ERRORS = (
    exceptions.UserError,
    exceptions.DataError,
    exceptions.BrokenEnvironmentError,
    exceptions.DocumentError,
    exceptions.ObjectChangedError,
    exceptions.IncompleteRunError,
    exceptions.JobFailedError,
    exceptions.LoadError,
    exceptions.PublicationRefusedError,
    ValidationError,
)
_FINAL_SQLSTATES = ("0A", "3F", "42")  # not supported; no such thing, no right, no valid SQL


class SklearnOperator(BaseOperator):
    """The base of the package's operators. A subclass does its work in ``work``.

    :param aws_conn_id: the Airflow connection for S3 (and for the runtime); not looked up for ``file://`` paths.
    """

    def __init__(self, *, aws_conn_id: str | None = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self._aws: AwsConnection | None = None

    @abstractmethod
    def work(self, context: Context) -> Any:
        """What ``execute`` does, inside ``final_errors``."""

    def execute(self, context: Context) -> Any:
        return self.attempt(context)

    def attempt(self, context: Context) -> Any:
        """``work``, with errors that say whether a retry helps."""
        with final_errors(), self.aws.explained_errors():
            return self.work(context)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render copies of the objects that the DAG's author made: Airflow renders objects in place, and they may be
        shared by other tasks, and by other runs in this process."""
        for name in self.template_fields:
            setattr(self, name, own_copy(getattr(self, name)))
        super().render_template_fields(context, jinja_env)

    @property
    def aws(self) -> AwsConnection:
        """One for the whole task, with its clients."""
        if self._aws is None or self._aws.aws_conn_id != self.aws_conn_id:  # before, and after it was rendered
            self._aws = AwsConnection(self.aws_conn_id)
        return self._aws

    @property
    def storage(self) -> Storage:
        return self.aws.storage()

    def announce(self, context: Context, uri: str, extra: Mapping[str, Any]) -> None:
        """Let the task's asset event for ``uri`` say what it made; the asset becomes an outlet if it is none yet.

        A URI with a template, or one that is mapped over, is not known before the task runs.
        """
        made = asset_of(uri)
        if made is None:
            return
        asset = next((outlet for outlet in self.outlets if getattr(outlet, "uri", None) == made.uri), made)
        if asset is made:
            self.outlets = [*self.outlets, asset]
        context["outlet_events"][asset].extra.update(extra)


@contextlib.contextmanager
def final_errors() -> Iterator[None]:
    """Fail a task without retries on an error that a retry would only repeat."""
    try:
        yield
    except FINAL_ERRORS as error:
        raise AirflowFailException(str(error)) from error
    except exceptions.RedshiftError as error:
        if not error.sqlstate.startswith(_FINAL_SQLSTATES):
            raise
        raise AirflowFailException(str(error)) from error


def own_copy(value: Any) -> Any:
    """A copy of a template object (a ``Dataset``, a runtime), which Airflow would else render in place; with copies of
    the template objects in it."""
    if not getattr(value, "template_fields", None) or hasattr(value, "resolve"):
        return value
    made = copy.copy(value)
    for name in made.template_fields:
        if (inner := own_copy(found := getattr(made, name))) is not found:
            setattr(made, name, inner)
    return made


def static_outlets(uri: Any) -> list[Asset]:
    """The asset of a URI that is known when the DAG is parsed, so that Airflow draws it; else nothing."""
    known = isinstance(uri, str) and "{{" not in uri and "{%" not in uri and (uri.startswith("/") or "://" in uri)
    asset = asset_of(absolute_uri(uri).rstrip("/")) if known else None
    return [asset] if asset else []


def asset_of(uri: str) -> Asset | None:
    """The asset of a URI; None, and a warning, where Airflow takes none: Airflow 2 wants ASCII, for example.

    A DAG must not break, and work that is done must not be lost, for an event that nobody may wait for.
    """
    try:
        if len(uri) > _LONGEST_ASSET_URI:
            raise ValueError(f"it has more than {_LONGEST_ASSET_URI} characters")
        return Asset(uri)
    except ValueError as error:
        log.warning("There will be no asset events for %s: %s.", uri, error)
        return None


def column_names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """One column's name, or several."""
    return (value,) if isinstance(value, str) and value else tuple(value or ())


def clears_of(context: Context, retries: int | None) -> int:
    """How often the task instance has been cleared, and one: the same for all attempts that follow by retries.

    Airflow raises ``max_tries`` when a task is cleared, and counts attempts on.
    """
    return context["ti"].max_tries - (retries or 0) + 1


def identity_of(context: Context) -> JobIdentity:
    """Which task instance this is."""
    from airflow_sklearn.contract.jobs import JobIdentity

    ti = context["ti"]
    return JobIdentity(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
    )
