"""Collecting all faults of data, to report them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXAMPLES = 5


def let_pass(policy: str, **choices: str) -> str:
    """A sentence for a problem's fix: how a policy permits it, in which operators.

    :param policy: the policy's name.
    :param choices: the policy's values that permit it, each with what then happens to the data.
    """
    first, *others = choices.items()
    values = f"policies={{{policy!r}: {first[0]!r}}} ({first[1]})"
    values += "".join(f" or {value!r} ({meaning})" for value, meaning in others)
    return f"or let them pass: give sklearn_predict (or SklearnPlanOperator) {values}, and clear the plan task."


class ProblemCollector:
    """Merges faults with the same kind, column and file into one ``Problem``, with a count and a few examples."""

    def __init__(self) -> None:
        self._problems: dict[tuple[str, str | None, str | None], Problem] = {}
        self.kinds: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._problems)

    def add(
        self,
        kind: str,
        message: str,
        *,
        column: str | None = None,
        file: str | None = None,
        count: int = 1,
        examples: Iterable[str] = (),
        fix: str = "",
    ) -> None:
        """Count a fault. Of each kind, column and file, the first message and fix are kept.

        :param kind: a stable word for programs, such as ``wrong_type``.
        :param message: the fault in words.
        :param column: the column; None: no certain one.
        :param file: the file's URI; None: no certain one.
        :param count: how often the fault was found.
        :param examples: some faulty values.
        :param fix: what the user can do.
        """
        self.merge(
            [
                Problem(
                    kind=kind, message=message, column=column, file=file, count=count, examples=tuple(examples), fix=fix
                )
            ]
        )

    def merge(self, others: Iterable[Problem]) -> None:
        """Add the problems of another collector, for example from another process."""
        for problem in others:
            self.kinds.add(problem.kind)
            key = (problem.kind, problem.column, problem.file)
            known = self._problems.get(key)
            if known is None:
                self._problems[key] = problem.model_copy(update={"examples": problem.examples[:_EXAMPLES]})
            else:
                self._problems[key] = known.model_copy(
                    update={
                        "count": known.count + problem.count,
                        "examples": tuple(dict.fromkeys(known.examples + problem.examples))[:_EXAMPLES],
                    }
                )

    def problems(self) -> tuple[Problem, ...]:
        """All problems, the most frequent one first."""
        found = (problem.shown() for problem in self._problems.values())
        return tuple(sorted(found, key=lambda p: (-p.count, p.kind, p.column or "", p.file or "")))

    def raise_if_any(self, summary: str) -> None:
        """Raise an error if there are problems.

        :param summary: one line that says what was being read.
        :raises DataError: there are; the error carries all of them.
        """
        if self._problems:
            raise DataError(summary, self.problems())
