"""The check of a training against the table that the model will score: what a user gives as ``will_score=``, and what
jobs contain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_sklearn.contract.arguments import check_choice, check_columns, column_names
from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import Value
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What happens to columns that the check finds.
UnfitColumns = Literal["error", "exclude"]
UNFIT_COLUMNS: tuple[str, ...] = get_args(UnfitColumns)

#: What a column holds: values that differ, null being one of them; the same value in all rows; or none.
ColumnContent = Literal["various", "constant", "null"]


@dataclass
class WillScore:
    """The table that a model will score, which training checks its columns against.

    :param source: a URI, several, a ``Dataset``, a ``RedshiftTable`` or a ``RedshiftQuery``. (templated)
    :param unfit_columns: ``error``: columns that the check finds are an error, before anything is fitted; ``exclude``:
        they are not learned from.
    :param keep: columns that are not checked. (templated)
    """

    template_fields: ClassVar[tuple[str, ...]] = ("source", "keep")

    source: Any
    unfit_columns: str = "error"
    keep: str | Sequence[str] = ()


class ScoredTable(Value):
    """The table that a model will score. The operator makes it of a ``WillScore``."""

    name: str
    """The table's name for people."""
    source: SourceFiles | None = None
    """The files; None: a table of a database, which was looked at before the job."""
    objects: tuple[SourceObject, ...] = ()
    """The files' objects."""
    contents: dict[str, ColumnContent] = {}
    """What the columns of a database's table hold."""
    unfit_columns: UnfitColumns = "error"
    keep: tuple[str, ...] = ()

    def uris(self) -> tuple[str, ...]:
        """All files that the check reads."""
        return (*(self.source.uris if self.source else ()), *(one.uri for one in self.objects))


def as_will_score(value: Any) -> WillScore | ScoredTable | None:
    """A user's ``will_score`` as a ``WillScore``, also of a source alone."""
    return value if value is None or isinstance(value, WillScore | ScoredTable) else WillScore(value)


def check_will_score(value: Any) -> None:
    """Check a user's ``will_score``, without its source.

    :raises UserError: it is a class, or an option is invalid.
    """
    if value is WillScore:
        raise UserError("will_score=WillScore is the class: give an object, WillScore(...).")
    if isinstance(asked := as_will_score(value), WillScore):
        check_choice("WillScore: unfit_columns", asked.unfit_columns, UNFIT_COLUMNS)
        check_columns("WillScore: keep", asked.keep)


def scored_table(asked: WillScore, name: str, **found: Any) -> ScoredTable:
    """What a job contains of a ``WillScore``.

    :param name: the table's name for people.
    :param found: the fields ``source`` and ``objects``, or ``contents``.
    :raises UserError: an option is invalid.
    """
    check_will_score(asked)
    return ScoredTable(name=name, unfit_columns=asked.unfit_columns, keep=column_names(asked.keep), **found)
