"""An error means the same on Airflow's side, in a container, and after the end of its job."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import airflow_sklearn
from airflow_sklearn import exceptions
from airflow_sklearn.airflow_compat import AirflowFailException
from airflow_sklearn.contract.jobs import JobIdentity
from airflow_sklearn.operators.base import final_errors
from airflow_sklearn.runtimes.base import JobState, JobStatus
from airflow_sklearn.runtimes.outcome import raise_unless_succeeded, read_result
from airflow_sklearn.storage import Storage
from airflow_sklearn.worker.run import _fail as fail

PACKAGE = Path(airflow_sklearn.__file__).parent
#: What constructors take besides a message.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "NotHereError": {"for_good": False},
    "StatementRunningError": {"statements": {}},
    "UnansweredError": {"offer": 0},
    "UnreadableJobError": {"result_uri": ""},
}


def classes() -> list[type[exceptions.AirflowSklearnError]]:
    """Of all errors of the package, wherever they are defined."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if re.search(r"^class \w+\(.*Error\b.*\):", path.read_text(), re.MULTILINE):
            importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))

    def below(cls: type) -> Iterator[type]:
        for one in cls.__subclasses__():
            yield one
            yield from below(one)

    found = {exceptions.AirflowSklearnError, *below(exceptions.AirflowSklearnError)}
    return sorted((one for one in found if one.__module__.startswith("airflow_sklearn.")), key=lambda one: one.__name__)


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        JobIdentity(try_number="many")  # type: ignore[arg-type]
    return caught.value


OWN = [cls("why", **ARGUMENTS.get(cls.__name__, {})) for cls in classes()]
STATES = [exceptions.RedshiftError("why", sqlstate=state) for state in ("", "42P01", "3F000", "0A", "57014", "40001")]
OTHERS = [ModuleNotFoundError("no module x"), MemoryError(), OSError("why"), ValueError("why"), invalid()]


def is_retried_by_the_operator(error: BaseException) -> bool:
    with pytest.raises(Exception) as caught, final_errors():  # noqa: PT011
        raise error
    return not isinstance(caught.value, AirflowFailException)


def is_retried_after_the_job(storage: Storage, uri: str, code: int) -> bool:
    status = JobStatus(state=JobState.FAILED, exit_code=code)
    with pytest.raises((exceptions.JobFailedError, exceptions.JobLostError)) as caught:
        raise_unless_succeeded(read_result(storage, uri) if uri else None, status, [])
    return isinstance(caught.value, exceptions.JobLostError)


@pytest.mark.parametrize(
    "error", [*OWN, *STATES, *OTHERS], ids=lambda error: f"{type(error).__name__}{getattr(error, 'sqlstate', '')}"
)
def test_operator_worker_and_outcome_judge_an_error_alike(error: BaseException, tmp_path: Path) -> None:
    storage, uri = Storage(), f"file://{tmp_path}/result.json"
    code = fail(uri, storage, error, 0.0)
    by_operator = is_retried_by_the_operator(error)
    assert is_retried_after_the_job(storage, uri, code) == by_operator
    assert is_retried_after_the_job(storage, "", code) == by_operator, "without a result, by the exit code"
    assert getattr(error, "retryable", by_operator) == by_operator


def test_final_are_the_errors_that_the_same_work_would_meet_again() -> None:
    assert {type(error).__name__ for error in OWN if not error.retryable} == {
        "BrokenEnvironmentError",
        "DataError",
        "DocumentError",
        "IncompleteRunError",
        "JobFailedError",
        "LoadError",
        "ObjectChangedError",
        "PublicationRefusedError",
        "UnnamedAnswerError",
        "UnreadableJobError",
        "UserError",
    }


def test_what_is_final_is_so_in_subclasses_too() -> None:
    class Mine(exceptions.UserError):
        pass

    assert (Mine.kind, Mine.retryable) == ("user", False)
