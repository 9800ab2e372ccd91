"""How a model is validated: small values that a user gives as ``validation=``, and that jobs and manifests contain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator

from airflow_sklearn.contract.arguments import is_known
from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import Value
from airflow_sklearn.contract.faults import explain, sentences, shown, suggestion
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FOLDS = 4
WAYS = (
    "a number of folds (0 or 'none': no validation), GroupFolds('customer'), TimeFolds('date') or "
    "HeldOut('s3://acme/test.parquet')"
)


class _Folds(Value):
    """Folds that a column decides.

    :raises UserError: a value is invalid; the message names it.
    """

    column: str = Field(min_length=1)
    folds: int = Field(default=DEFAULT_FOLDS, ge=2)

    def __init__(self, column: str | None = None, folds: int = DEFAULT_FOLDS, **others: Any) -> None:
        given: dict[str, Any] = {"folds": folds, **others} | ({} if column is None else {"column": column})
        try:
            super().__init__(**given)
        except ValidationError as error:
            faults = sentences(explain(error, type(self).model_fields))
            raise UserError(f"{type(self).__name__} is not valid: {faults}") from None


class GroupFolds(_Folds):
    """Folds by group: all rows of a group are in the same fold, so that no model is scored on a group that it knows.

    :param column: the column that names the group, such as a customer. It is not learned from.
    :param folds: the number of folds.
    """

    kind: Literal["groups"] = "groups"


class TimeFolds(_Folds):
    """Folds by time: each model is fitted on the past, and scored on the block of rows that follows it.

    The rows are cut at moments into ``folds + 1`` blocks of about the same size. Rows of the same moment stay together.
    The first block is never scored.

    :param column: the column with the time: dates, or numbers that grow with time. It is learned from unless it is in
        ``excluded_columns``.
    :param folds: the number of blocks that are scored.
    :param gap: rows of this time before a block are not fitted on. A ``timedelta`` for dates, a number for numbers;
        None: no gap.
    """

    kind: Literal["time"] = "time"
    gap: timedelta | float | None = None

    @field_validator("gap")
    @classmethod
    def _not_negative(cls, gap: timedelta | float | None) -> timedelta | float | None:
        if gap is not None and (gap.total_seconds() if isinstance(gap, timedelta) else gap) < 0:
            raise ValueError(f"{gap} is negative: give a time of 0 or more")
        return gap


class HeldOutRows(Value):
    """Rows of another source that the model is scored on. The operator makes it of a ``HeldOut``."""

    kind: Literal["held_out"] = "held_out"
    source: SourceFiles
    objects: tuple[SourceObject, ...]


Validation = Annotated[GroupFolds | TimeFolds | HeldOutRows, Field(discriminator="kind")]


@dataclass
class HeldOut:
    """Validation on the rows of another source: the fitted model is scored on them, and nothing is fitted twice.

    :param source: files with the columns of the training table: a URI, several, or a ``Dataset``. (templated)
    """

    template_fields: ClassVar[tuple[str, ...]] = ("source",)

    source: Any


#: What a user may give.
Asked = GroupFolds | TimeFolds | HeldOut | HeldOutRows | int | Literal["none"]


def check_validation(value: Any) -> None:
    """Check a user's ``validation``.

    :raises UserError: it is none of the ways to validate.
    """
    if value is None or not is_known(value) or isinstance(value, GroupFolds | TimeFolds | HeldOutRows | HeldOut):
        return
    if isinstance(value, int) and not isinstance(value, bool) and (value == 0 or value >= 2):
        return
    if value == "none" or (isinstance(value, str) and value.isdecimal() and int(value) != 1):  # rendered
        return
    if isinstance(value, type) and issubclass(value, _Folds | HeldOut):
        raise UserError(f"validation={value.__name__} is the class: give an object, {value.__name__}(...).")
    hint = suggestion(value, ["none"]) if isinstance(value, str) else ""
    raise UserError(f"validation={shown(value)}: give {WAYS}.{hint}")


def folds_and_way(arguments: Mapping[str, Any]) -> tuple[int, Any]:
    """The number of folds, and the way to make them if it is not the usual one.

    :param arguments: a user's ``validation`` and ``cross_validation``.
    :return: ``cross_validation`` and ``validation`` as jobs contain them.
    :raises UserError: both are given, and contradict each other.
    """
    way, folds = arguments["validation"], arguments["cross_validation"]
    if way is None or not is_known(way):
        return folds, None
    if isinstance(way, str):
        way = 0 if way == "none" else int(way)
    said: int = way if isinstance(way, int) else getattr(way, "folds", 1)
    if folds not in (DEFAULT_FOLDS, said):
        raise UserError(
            f"cross_validation={folds} and validation={shown(way)} contradict each other. Fix: leave cross_validation "
            "out."
        )
    return said, None if isinstance(way, int) else way
