"""Comparing models in notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.client.model import Model
from airflow_sklearn.runs.leaderboard import leaderboard as _leaderboard
from airflow_sklearn.storage import Storage
from airflow_sklearn.storage.uris import place_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_sklearn.runs.leaderboard import Leaderboard


def leaderboard(
    models: Sequence[Model | str | Mapping[str, Any]],
    *,
    metric: str | None = None,
    target: str = "",
    storage: Storage | None = None,
) -> Leaderboard:
    """Compare models of the same target by a metric of their out-of-sample rows. ``print`` shows them.

    :param models: models of this client, URIs or paths, or results of tasks that trained.
    :param storage: access to the URIs; None: with the environment's credentials.

    The other parameters are those of ``SklearnCompareOperator``.

    :raises UserError: models cannot be compared; the message lists all faults.
    """
    found = [
        model.uri if isinstance(model, Model) else place_uri(model) if isinstance(model, str) else model
        for model in models
    ]
    return _leaderboard(storage or Storage(), found, metric=metric, target=target)
