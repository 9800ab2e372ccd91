"""The common part of the operators: storage, errors and retries, assets, and template objects."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import ValidationError

from airflow_sklearn import exceptions, settings
from airflow_sklearn.airflow_compat import AirflowFailException, Asset, BaseOperator
from airflow_sklearn.aws.connection import AwsConnection
from airflow_sklearn.contract.arguments import check_names, is_known
from airflow_sklearn.contract.exit_codes import is_final
from airflow_sklearn.contract.faults import shown
from airflow_sklearn.contract.misplaced import belongs
from airflow_sklearn.contract.shown import showing_values
from airflow_sklearn.datasets.files import plain_uris
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.links import UriLink
from airflow_sklearn.storage.full_disk import full_disk_error
from airflow_sklearn.storage.uris import absolute_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.contract.jobs import JobIdentity
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_NO_LITERAL = "\u2060"
_LONGEST_ASSET_URI = 1500  # characters, in Airflow 3; Airflow 2's database may refuse a longer one when all is done


class SklearnOperator(BaseOperator):
    """The base of the package's operators. A subclass does its work in ``work``.

    :param aws_conn_id: the Airflow connection for S3 (and for the runtime); not looked up for ``file://`` paths.
    """

    text_fields: ClassVar[Sequence[str]] = ("aws_conn_id",)
    """Those of the template fields that can only be a text, or None."""
    known_links: Mapping[str, str] | None = {}
    """URIs of links that this process has stored, by their XCom's key; None: an earlier process of this attempt stored
    them all, or an empty text."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse unknown arguments, before Airflow complains about missing ones."""
        if cls.__module__.startswith("airflow_sklearn."):  # users' subclasses may take other arguments
            check_names(
                cls.__name__, (name for name in kwargs if not name.startswith("_")), argument_names(cls), belongs
            )
        return super().__new__(cls)

    def __init__(self, *, aws_conn_id: str | None = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self._aws: AwsConnection | None = None

    def check_arguments(self) -> None:
        """Check the arguments as far as they are known. A subclass adds its own checks.

        :raises UserError: arguments are invalid; the message lists all faults.
        """
        if self.aws_conn_id is not None and not isinstance(self.aws_conn_id, str) and is_known(self.aws_conn_id):
            raise UserError(f"aws_conn_id={shown(self.aws_conn_id)}: give the id of an Airflow connection, or None.")

    def check_early(self) -> None:
        """Check the arguments when the DAG is parsed. Constructors call it at their end. A mapped task is checked when
        it runs.

        :raises UserError: an argument is invalid; the message names the operator and the task.
        """
        if not getattr(self, "_BaseOperator__from_mapped", False):
            self._check_named()

    def _check_named(self) -> None:
        try:
            self.check_arguments()
        except UserError as error:
            raise UserError(f"{type(self).__name__}, task {self.task_id!r}: {error}") from None

    @abstractmethod
    def work(self, context: Context) -> Any:
        """The task's work. ``execute`` calls it inside of ``final_errors``."""

    def execute(self, context: Context) -> Any:
        """Called by Airflow: do the task's work."""
        return told_once(lambda: self.attempt(context))

    def attempt(self, context: Context) -> Any:
        """Call ``work``. Errors that a retry would meet again fail the task without retries."""
        with showing_as_configured(), final_errors(), self.aws.explained_errors():
            self._check_named()
            return self.work(context)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render copies of the DAG author's objects.

        Airflow renders objects in place, and they may be shared with other tasks, and with other runs in this process.
        """
        for name in self.template_fields:
            setattr(self, name, own_copy(getattr(self, name)))
        texts = self._rendered_texts(context, jinja_env)
        super().render_template_fields(context, jinja_env)
        for name, text in texts.items():
            if getattr(self, name) is not None:
                setattr(self, name, text)

    def _rendered_texts(self, context: Context, jinja_env: Any) -> dict[str, str]:
        """Fields that must be texts, rendered to texts. ``render_template_as_native_obj`` makes numbers of dates, for
        example, and the original spelling is lost.
        """
        given = {name: getattr(self, name) for name in self.text_fields if name in self.template_fields}
        return {
            # Native rendering converts Python literals. With this ending the text is none.
            name: str(self.render_template(f"{text}{_NO_LITERAL}", context, jinja_env)).removesuffix(_NO_LITERAL)
            for name, text in given.items()
            if isinstance(text, str)
        }

    @property
    def aws(self) -> AwsConnection:
        """The AWS connection of this task, with its clients."""
        if self._aws is None or self._aws.aws_conn_id != self.aws_conn_id:  # the id changes when it is rendered
            self._aws = AwsConnection(self.aws_conn_id)
        return self._aws

    @property
    def storage(self) -> Storage:
        """The storage, with the operator's AWS connection."""
        from airflow_sklearn.storage import Storage

        return Storage(lambda: self.aws.client("s3"))

    def store_link(self, context: Context, link: type[UriLink], uri: str) -> None:
        """Store the URI that a link of this task opens."""
        link.persist(context, uri)
        if self.known_links is not None:
            self.known_links = {**self.known_links, link.key: uri}

    def store_missing_links(self, context: Context) -> None:
        """Store links before a deferral, so that a later process of this attempt finds all of them."""
        for link in self.operator_extra_links:
            if isinstance(link, UriLink) and self.known_links is not None and link.key not in self.known_links:
                self.store_link(context, type(link), "")

    def announce(self, context: Context, uri: str, extra: Mapping[str, Any]) -> None:
        """Add information to the task's asset event for ``uri``. If the asset is no outlet yet, it becomes one.

        A URI with a template, or of a mapped task, is not known before the task runs.

        :param extra: the information.
        """
        made = asset_of(uri)
        if made is None:
            return
        asset = next((outlet for outlet in self.outlets if getattr(outlet, "uri", None) == made.uri), made)
        if asset is made:
            self.outlets = [*self.outlets, asset]
        context["outlet_events"][asset].extra.update(extra)


def told_once(work: Callable[[], _T]) -> _T:
    """Do a task's work. An error of this package then leaves it without its causes.

    The message of such an error says everything, but Airflow would print its traceback and all causes.
    """
    try:
        return work()
    except (exceptions.AirflowSklearnError, AirflowFailException) as error:
        log.debug("The error in full:", exc_info=True)
        told: Exception = full_disk_error(error) or error.with_traceback(None)
    except OSError as error:
        if (full := full_disk_error(error)) is None:
            raise
        told = full
    raise told from None


def showing_as_configured() -> AbstractContextManager[None]:
    """Within the context, messages contain values of rows only if Airflow's configuration allows it."""
    return showing_values(settings.flag("show_values"))


@contextlib.contextmanager
def final_errors() -> Iterator[None]:
    """Fail the task without retries on an error that a retry would meet again."""
    try:
        yield
    except Exception as error:
        if not is_final(error):
            raise
        # Messages of the package's own errors, and of pydantic's, are complete; for others the class is needed too.
        named = not isinstance(error, exceptions.AirflowSklearnError | ValidationError)
        raise AirflowFailException(f"{type(error).__name__}: {error}" if named else str(error)) from None


@functools.cache
def argument_names(operator: type) -> frozenset[str]:
    """The names of all arguments of an operator's constructor and those of its bases, Airflow's included."""
    return frozenset(
        name
        for cls in operator.__mro__
        if "__init__" in vars(cls)
        for name, parameter in inspect.signature(vars(cls)["__init__"]).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD) and name != "self"
    )


def own_copy(value: Any) -> Any:
    """A copy of a template object (a ``Dataset``, a runtime) with copies of the template objects in it.

    Airflow would render the object itself in place. A path of Airflow (``ObjectStoragePath``) becomes its URI.
    """
    value = plain_uris(value)
    if not getattr(value, "template_fields", None) or hasattr(value, "resolve") or isinstance(value, type):
        return value
    made = copy.copy(value)
    for name in made.template_fields:
        if (inner := own_copy(found := getattr(made, name))) is not found:
            setattr(made, name, inner)
    return made


def static_outlets(uri: Any) -> list[Asset]:
    """The asset of a URI that is known when the DAG is parsed, so that Airflow draws it; else an empty list."""
    known = isinstance(uri, str) and "{{" not in uri and "{%" not in uri and (uri.startswith("/") or "://" in uri)
    asset = asset_of(absolute_uri(uri).rstrip("/")) if known else None
    return [asset] if asset else []


def asset_of(uri: str) -> Asset | None:
    """The asset of a URI; None, with a warning, if Airflow accepts none: Airflow 2 requires ASCII, for example.

    A DAG must not break, and finished work must not be lost, because of an event that nobody may wait for.
    """
    try:
        if len(uri) > _LONGEST_ASSET_URI:
            raise ValueError(f"it has more than {_LONGEST_ASSET_URI} characters")
        return Asset(uri)
    except ValueError as error:
        log.warning("There will be no asset events for %s: %s.", uri, error)
        return None


def clears_of(context: Context, retries: int | None) -> int:
    """How often the task instance was cleared, plus one. It is the same for all attempts that follow by retries.

    Airflow raises ``max_tries`` when a task is cleared, and continues to count attempts.

    :param retries: the task's number of retries.
    """
    return context["ti"].max_tries - (retries or 0) + 1


def identity_of(context: Context) -> JobIdentity:
    """The identity of this task instance."""
    from airflow_sklearn.contract.jobs import JobIdentity

    ti = context["ti"]
    return JobIdentity(
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
    )
