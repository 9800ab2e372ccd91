"""Collecting all that is wrong with data before anybody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.problems import Problem
from airflow_sklearn.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXAMPLES = 5


def let_pass(policy: str, **choices: str) -> str:
    """The end of a fix: by which argument, of which operators, a policy lets something pass.

    :param choices: the policy's values that do, and what becomes of the data then.
    """
    first, *others = choices.items()
    values = f"policies={{{policy!r}: {first[0]!r}}} ({first[1]})"
    values += "".join(f" or {value!r} ({meaning})" for value, meaning in others)
    return f"or let them pass: give sklearn_predict (or SklearnPlanOperator) {values}, and clear the plan task."


class ProblemCollector:
    """Merges faults of one kind, column and file into one ``Problem`` with a count and a few examples."""

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
        """Count a fault; the first message and fix of a kind, column and file stand for all."""
        self.merge(
            [
                Problem(
                    kind=kind, message=message, column=column, file=file, count=count, examples=tuple(examples), fix=fix
                )
            ]
        )

    def merge(self, others: Iterable[Problem]) -> None:
        """Take in what another collector found, in another process perhaps."""
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
        """Most frequent first."""
        found = (problem.shown() for problem in self._problems.values())
        return tuple(sorted(found, key=lambda p: (-p.count, p.kind, p.column or "", p.file or "")))

    def raise_if_any(self, summary: str) -> None:
        """:raises DataError: with everything collected, if there is anything."""
        if self._problems:
            raise DataError(summary, self.problems())
