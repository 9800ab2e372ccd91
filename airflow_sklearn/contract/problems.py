"""What is wrong with data, as one value that crosses from the worker to the person who reads the task's error."""

from __future__ import annotations

from airflow_sklearn.contract.document import Value


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
        where = "".join(
            [f" column {self.column!r}" if self.column is not None else "", f" in {self.file}" if self.file else ""]
        )
        examples = f" (for example {', '.join(self.examples)})" if self.examples else ""
        times = f" [{self.count:,} times]" if self.count > 1 else ""
        fix = f" Fix: {self.fix}" if self.fix else ""
        return f"{self.kind}:{where}: {self.message}{examples}{times}.{fix}"
