"""Checks of sources, destinations and models when the DAG is parsed. Templates are not looked into."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from airflow_sklearn.contract.arguments import is_known, is_place
from airflow_sklearn.contract.faults import kind_of, shown
from airflow_sklearn.datasets.files import Dataset
from airflow_sklearn.datasets.held_out import check_is_files
from airflow_sklearn.datasets.registry import as_destination, as_source
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.storage.uris import split_scheme

_STAND_INS = {"uri": "/x.csv", "file_format": "csv"}


def check_location(argument: str, value: Any) -> None:
    """Check that an argument is a URI or an absolute path, as far as a template allows.

    :raises UserError: it is not.
    """
    if not isinstance(value, str):
        if is_known(value):
            raise UserError(f"{argument}={shown(value)} is {kind_of(value)}: give a URI, such as s3://bucket/key.")
        return
    head = re.split(r"\{[{%]", value, maxsplit=1)[0]
    hidden = len(head) < len(value)
    if "://" in head:
        try:
            if not (hidden and head == "file://"):
                split_scheme(f"{head}x" if hidden else head)
        except UserError as error:
            raise UserError(f"{argument}: {error}") from None
        return
    if head.startswith("/") or (hidden and "/" not in head):
        return
    if not value.strip():
        raise UserError(f"{argument} is empty: give a URI, such as s3://bucket/key, or an absolute path.")
    raise UserError(
        f"{argument}={value!r} is a relative path. Use s3://bucket/key, file:///absolute/path, or an absolute path."
    )


def check_model(model: Any) -> None:
    """Check that an argument is a model's URI or the result of training.

    :raises UserError: it is not.
    """
    if isinstance(model, Mapping):
        if is_known(model) and "manifest_uri" not in model:
            raise UserError(
                f"model={shown(model)}: give what SklearnTrainOperator returned (its .output), which has a "
                "'manifest_uri', or a URI."
            )
        return
    check_location("model", model)


def check_source(source: Any, argument: str = "source") -> None:
    """Check a source.

    :raises UserError: it is no source, or has invalid options.
    """
    _check(source, argument, as_source)


def check_held_out(source: Any) -> None:
    """Check the source of ``HeldOut``.

    :raises UserError: it is no source, is no files, or has invalid options.
    """
    _check(source, "HeldOut", lambda value: check_is_files(as_source(value)))


def check_destination(destination: Any, argument: str = "destination") -> None:
    """Check a destination.

    :raises UserError: it is no destination, or has invalid options.
    """
    if is_place(destination) and not hasattr(destination, "to_output"):
        raise UserError(f"{argument}={shown(destination)} can be read, not written: give a RedshiftTable or a folder.")
    _check(destination, argument, as_destination)


def _check(value: Any, argument: str, read: Any) -> None:
    if isinstance(value, type):
        raise UserError(f"{argument}={value.__name__} is the class: give an object, {value.__name__}(...).")
    fields = getattr(value, "template_fields", ())
    try:
        if isinstance(value, str):
            value = Dataset(value)
        if isinstance(value, Dataset):
            value = _as_far_as_known(value, argument)
        elif not is_known(value) or any(not is_known(getattr(value, name)) for name in fields):
            return  # a table with templates: it is checked when they are rendered
        elif not fields and not isinstance(value, list | tuple | Mapping) and is_place(value):
            return  # a user's own class: its methods may be expensive
        elif hasattr(value, "staging") and not value.staging:
            value = dataclasses.replace(value, staging="s3://configured")  # where the task runs, perhaps
        read(value)
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(argument) else f"{argument}: {text}") from None


def _as_far_as_known(dataset: Dataset, argument: str) -> Dataset:
    several = isinstance(dataset.uri, list | tuple | set | frozenset)
    for uri in dataset.uri if several and is_known(dataset.uri) else [] if several else [dataset.uri]:
        check_location(argument, uri)
    hidden: dict[str, Any] = {}
    for field in dataclasses.fields(dataset):
        if not is_known(getattr(dataset, field.name)):
            default = field.default_factory() if callable(field.default_factory) else field.default
            hidden[field.name] = _STAND_INS.get(field.name, default)
    if "uri" in hidden and dataset.file_format is None:
        hidden["file_format"] = "csv"
    return dataclasses.replace(dataset, **hidden)
