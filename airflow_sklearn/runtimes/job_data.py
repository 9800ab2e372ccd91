"""The content of a handle, by which a runtime finds its job again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict

from airflow_sklearn.contract.document import Value

if TYPE_CHECKING:
    from typing import Self

    from pydantic import JsonValue

    from airflow_sklearn.runtimes.base import JobHandle


class JobData(Value):
    """The content of ``JobHandle.data``. Each runtime has a subclass.

    Handles are stored in triggers, events and files. A renamed field keeps its stored name as an alias, and a new field
    has a default. Fields that another version has stored are ignored.
    """

    model_config = ConfigDict(extra="ignore", validate_by_name=True, serialize_by_alias=True)

    @classmethod
    def of(cls, handle: JobHandle) -> Self:
        """Read the content of a handle.

        :raises ValidationError: another kind of runtime has made the handle.
        """
        return cls.model_validate(handle.data)

    def stored(self) -> dict[str, JsonValue]:
        """The content as JSON, for ``JobHandle.data``."""
        return self.model_dump(mode="json")
