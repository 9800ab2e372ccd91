"""The kinds of sources and destinations, one line each. A kind is imported only when it is needed.

Another package adds a kind by entry points of the groups ``airflow_sklearn.sources`` and
``airflow_sklearn.destinations``, whose name is the kind. A module that DAG files import may call ``register_kind``.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_sklearn.contract.arguments import check_names
from airflow_sklearn.contract.faults import kind_of, shown
from airflow_sklearn.datasets.base import Destination, Source
from airflow_sklearn.datasets.files import Dataset
from airflow_sklearn.exceptions import UserError

_SOURCES = {
    "files": "airflow_sklearn.datasets.file_source:FileSource",
    "redshift": "airflow_sklearn.datasets.redshift.source:RedshiftSource",
}
_DESTINATIONS = {
    "files": "airflow_sklearn.datasets.file_destination:FileDestination",
    "redshift": "airflow_sklearn.datasets.redshift.destination:RedshiftDestination",
}


def register_kind(kind: str, *, source: str = "", destination: str = "") -> None:
    """Add a kind in this process.

    :param kind: its name.
    :param source: its ``Source`` class, as ``package.module:Class``; empty: it cannot be read.
    :param destination: its ``Destination`` class, likewise; empty: it cannot be written.
    :raises UserError: the name belongs to another kind.
    """
    for classes, given in ((_SOURCES, source), (_DESTINATIONS, destination)):
        if given and classes.setdefault(kind, given) != given:
            raise UserError(f"The kind {kind!r} is {classes[kind]}'s, and cannot be {given}'s.")


def as_source(value: Any) -> Source:
    """The source for an operator's argument.

    :param value: a URI, several URIs, an object with ``to_source``, or a dict with the arguments of a ``Dataset``, a
        ``RedshiftTable`` or a ``RedshiftQuery``, as an upstream task may return it.
    :raises UserError: it is none of these, or has invalid options.
    """
    document = from_plain(value, "source").to_source()
    return document if isinstance(document, Source) else _find("source", _SOURCES, document)(document)


def as_destination(value: Mapping[str, Any] | Sequence[str] | str | Any) -> Destination:
    """The destination for an operator's argument.

    :param value: a URI, an object with ``to_output``, or a dict with the arguments of a ``Dataset`` or a
        ``RedshiftTable``.
    :raises UserError: it is none of these, or has invalid options.
    """
    return destination_of(from_plain(value, "destination").to_output())


def destination_of(document: Any) -> Destination:
    """The destination for a plan's document.

    :raises UserError: its kind is not registered here.
    """
    found: Destination = _find("destination", _DESTINATIONS, document)(document)
    return found


def from_plain(value: Any, role: str) -> Any:
    """An object that describes a source or destination, from an operator's argument.

    :raises UserError: the argument cannot be one.
    """
    if isinstance(value, Mapping):
        from airflow_sklearn.datasets.redshift.tables import from_mapping

        if (table := from_mapping(value)) is not None:
            return table
        known = {f.name for f in dataclasses.fields(Dataset)}
        check_names(f"{role}={shown(value)}", value, known)
        return Dataset(**value)
    if isinstance(value, str) or (isinstance(value, Sequence) and all(isinstance(uri, str) for uri in value)):
        return Dataset(value)
    if not hasattr(value, "to_source" if role == "source" else "to_output"):
        raise UserError(f"{role}={shown(value)} is {kind_of(value)}: give a URI, a list of URIs, or a Dataset.")
    return value


def _find(role: str, classes: Mapping[str, str], document: Any) -> Any:
    kind = document.kind
    if kind in classes:
        return pkgutil.resolve_name(classes[kind])
    for entry in importlib.metadata.entry_points(group=f"airflow_sklearn.{role}s", name=kind):
        return entry.load()
    raise UserError(
        f"There is no {role} of the kind {kind!r} here; there are {', '.join(classes)}. Fix: install the package that "
        "brings it wherever Airflow runs tasks, or import the module that registers it in the DAG file."
    )
