"""``sklearn.set_config`` as part of a model: its settings are recorded at training and set again at prediction."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LOG = logging.getLogger("airflow_sklearn.worker")


def changed_config() -> dict[str, Any]:
    """The settings of this thread that are not scikit-learn's defaults."""
    import sklearn

    defaults: dict[str, Any] = {}
    new = threading.Thread(target=lambda: defaults.update(sklearn.get_config()))  # a new thread has the defaults
    new.start()
    new.join()
    plain = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in sklearn.get_config().items()
        if isinstance(value, plain) and value != defaults.get(name)
    }


@contextlib.contextmanager
def configured(settings: Mapping[str, Any]) -> Iterator[None]:
    """Apply settings of ``sklearn.set_config`` within the context. Settings that this scikit-learn does not know are
    logged.

    All settings are restored at the end.
    """
    import sklearn

    known = {name: value for name, value in settings.items() if name in sklearn.get_config()}
    if unknown := sorted(set(settings) - set(known)):
        _LOG.warning("This scikit-learn has no setting %s; the model was fitted with it.", ", ".join(unknown))
    with sklearn.config_context(**known):
        yield
