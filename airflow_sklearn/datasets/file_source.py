"""Files as a source. They are read in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow_sklearn.datasets.base import Resolved, Source, WantedColumns
from airflow_sklearn.datasets.unload_manifest import files_of_manifests

if TYPE_CHECKING:
    from airflow_sklearn.contract.data import SourceFiles
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.datasets.base import Attempt
    from airflow_sklearn.runs.prediction import UnresolvedPlan


class FileSource(Source):
    """Files that are read as one table."""

    is_in_place: ClassVar[bool] = True

    def __init__(self, files: SourceFiles) -> None:
        self._files = files

    def column_types(self, plan: UnresolvedPlan) -> dict[str, str]:
        """See ``Source.column_types``: the types of training, and those that the user declares."""
        trained = {column.name: column.arrow_type for column in plan.manifest.columns}
        return {**trained, **self._files.types}

    def untyped_fault(self, name: str) -> str:
        """See ``Source.untyped_fault``."""
        return (
            f"the type of the passthrough column {name!r} is not known before the files are read: say it, "
            f"Dataset(..., types={{{name!r}: 'string'}})"
        )

    def resolve(self, attempt: Attempt, columns: WantedColumns, *, file_size: int | None = None) -> Resolved:
        """See ``Source.resolve``. The files are read in place."""
        return Resolved(files_of_manifests(attempt.storage, self._files), excluded=tuple(columns.excluded))

    def emptiness(self, plan: Plan) -> str:
        """See ``Source.emptiness``."""
        if plan.objects:
            return ""
        return (
            f"Nothing matches the source {', '.join(plan.spec.source.uris)}: the result will be empty. If that is not "
            "meant, check the spelling and the date in the template; a folder is given with a slash at its end."
        )
