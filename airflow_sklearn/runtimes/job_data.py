"""What a runtime keeps in a handle to find its job again, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict

from airflow_sklearn.contract.document import Value

if TYPE_CHECKING:
    from typing import Self

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle


class JobData(Value):
    """The content of ``JobHandle.data``. Each runtime has a class of its own.

    Handles are stored: in triggers, in events, in files. A field that is renamed keeps its stored name as its alias; a
    field that is added has a default. What another version has stored beside is left out.
    """

    model_config = ConfigDict(extra="ignore", validate_by_name=True, serialize_by_alias=True)

    @classmethod
    def of(cls, handle: JobHandle) -> Self:
        """Read it from a handle.

        :raises ValidationError: another kind of runtime has made the handle.
        """
        return cls.model_validate(handle.data)

    def stored(self) -> dict[str, JsonValue]:
        """As JSON, for ``JobHandle.data``."""
        return self.model_dump(mode="json")
