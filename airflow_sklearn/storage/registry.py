"""The stores by scheme, one line each. A store is imported only when it is needed.

Another package adds a scheme by an entry point of the group ``airflow_sklearn.storage``, whose name is the scheme:
workers then know it too. ``register_store`` adds one to the current process only.
"""

from __future__ import annotations

import functools
import importlib.metadata
import pkgutil
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from airflow_sklearn.storage.base import Store

GROUP = "airflow_sklearn.storage"

_STORES = {
    "file": "airflow_sklearn.storage.local:LocalStore",
    "s3": "airflow_sklearn.storage.s3:S3Store",
}


def register_store(scheme: str, store: str) -> None:
    """Add a scheme in this process.

    :param scheme: the scheme, such as ``gs``.
    :param store: a subclass of ``Store``, as ``package.module:Class``.
    :raises UserError: the scheme has another store already.
    """
    if _STORES.setdefault(scheme, store) != store:
        raise UserError(f"The scheme {scheme}:// is {_STORES[scheme]}'s, and cannot be {store}'s.")
    find_store.cache_clear()


@functools.cache
def find_store(scheme: str) -> type[Store] | None:
    """The store of a scheme; None if it has none."""
    if scheme in _STORES:
        found: Any = pkgutil.resolve_name(_STORES[scheme])
    else:
        found = next((entry.load() for entry in importlib.metadata.entry_points(group=GROUP, name=scheme)), None)
    return found


def store_of(scheme: str) -> type[Store]:
    """The store of a scheme.

    :raises UserError: it has none.
    """
    if (store := find_store(scheme)) is None:
        raise UserError(f"No storage has the scheme {scheme}://.")
    return store
