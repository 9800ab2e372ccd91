"""``Problem``: a fault of data, on its way from the worker to the person who reads the task's error."""

from __future__ import annotations

from airflow_sklearn.contract.document import Value
from airflow_sklearn.contract.shown import shown_example, values_shown

#: Kinds whose examples are names of columns, types or files.
_OF_NAMES = ("extra_column", "conflicting_types")
_MESSAGE, _EXAMPLE, _END = 500, 160, 60  # characters


class Problem(Value):
    """One kind of fault, counted.

    ``kind`` is a stable word for programs (``missing_column``, ``wrong_type``, ...); the rest is for people.
    """

    kind: str
    message: str
    fix: str = ""
    column: str | None = None
    file: str | None = None
    count: int = 1
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The problem in one line. It does not begin with a long URI, so that a cut line still shows the value and the
        fix.
        """
        said = [f"column {self.column!r}" if self.column is not None else "", f"in {self.place}" if self.file else ""]
        where = " ".join(filter(None, said))
        examples = f" (for example {', '.join(self.shown_examples)})" if self.examples else ""
        times = f" [{self.count:,} times]" if self.count > 1 else ""
        fix = f" Fix: {self.fix}" if self.fix else ""
        return (
            f"{self.kind}: {f'{where}: ' if where else ''}{_shortened(self.message, _MESSAGE)}{examples}{times}.{fix}"
        )

    def shown(self) -> Problem:
        """The problem without values of rows, if these are hidden; see ``contract.shown``."""
        if values_shown() or self.kind in _OF_NAMES:
            return self
        examples = tuple(filter(None, map(shown_example, self.examples)))
        return self.model_copy(update={"examples": examples})

    @property
    def place(self) -> str:
        """The file's name without its folder."""
        return (self.file or "").rstrip("/").rpartition("/")[2]

    @property
    def shown_examples(self) -> list[str]:
        """The examples, shortened in the middle: the end says where the value is."""
        return [_shortened(example, _EXAMPLE) for example in self.examples]

    def lines(self) -> list[str]:
        """The lines of an error message: the fault, where it is, how often, examples, and what to do."""
        column = f"column {self.column!r}: " if self.column is not None else ""
        found = [f"{self.kind}: {column}{_shortened(self.message, _MESSAGE)}"]
        if self.file:
            folder = self.file.rstrip("/").rpartition("/")[0]
            found.append(f"Where: {self.place}" + (f", in {folder}/" if folder else ""))
        if self.count > 1 or self.examples:
            found.append(f"How many: {self.count:,}")
        if self.examples:
            found.append(f"For example: {', '.join(self.shown_examples)}")
        if self.fix:
            found.append(f"Fix: {self.fix}")
        return found


def _shortened(text: str, length: int) -> str:
    """A text without its middle if it is longer than ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - _END]}...{text[-_END:]}"
