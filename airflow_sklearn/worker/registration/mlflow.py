"""The description of a model in the format of MLflow: a folder with a file ``MLmodel`` in YAML.

Only the part about scikit-learn is read, and the inputs of the signature, so that neither MLflow nor a YAML library is
needed.
"""

from __future__ import annotations

import json
import re
from typing import Literal, NamedTuple

from airflow_sklearn.exceptions import UserError

_FORMS: dict[str, Literal["pickle", "skops"]] = {
    "pickle": "pickle",
    "cloudpickle": "pickle",
    "joblib": "pickle",
    "skops": "skops",
}
_LINE = re.compile(r"(?P<indent> *)(?P<name>[\w.]+):\s*(?P<value>.*?)\s*")
_INPUTS = re.compile(r"^signature:\n(?:  .*\n)*?  inputs: '(?P<quoted>(?:[^']|'')*)'", re.MULTILINE)
_FILE_NAME = re.compile(r"[\w][\w.-]*")


class ModelFile(NamedTuple):
    """The file that holds an estimator.

    :param form: ``pickle`` or ``skops``.
    """

    uri: str
    form: Literal["pickle", "skops"]


def model_file(description: bytes, folder: str) -> ModelFile:
    """The file that holds the estimator of an MLflow model.

    :param description: the content of ``MLmodel``.
    :param folder: the model's folder, with a slash at its end.
    :raises UserError: the model is not one of scikit-learn, or is described in an unknown way.
    """
    values = _flavor(description.decode(errors="replace"), "sklearn")
    if not values:
        raise UserError(
            f"{folder}MLmodel does not describe a model of scikit-learn (no flavor 'sklearn'). Fix: save it by "
            "mlflow.sklearn.save_model, or register the estimator's own file."
        )
    name, form = values.get("pickled_model", "model.pkl"), values.get("serialization_format", "cloudpickle")
    if not _FILE_NAME.fullmatch(name) or form not in _FORMS:
        raise UserError(
            f"{folder}MLmodel names the file {name!r} in the format {form!r}; a file beside it in one of the formats "
            f"{', '.join(_FORMS)} was expected. Fix: register the estimator's own file."
        )
    return ModelFile(f"{folder}{name}", _FORMS[form])


def signature_of(description: bytes) -> dict[str, str]:
    """The inputs of an MLflow model, and their types in MLflow's words; empty: it has no signature with names.

    MLflow writes them as JSON in a quoted text, which YAML may break into several lines.

    :param description: the content of ``MLmodel``.
    """
    found = _INPUTS.search(description.decode(errors="replace"))
    if found is None:
        return {}
    text = re.sub(r"\n\s*", " ", found["quoted"].replace("''", "'"))
    try:
        return {str(one["name"]): str(one["type"]) for one in json.loads(text)}
    except (ValueError, KeyError, TypeError):  # tensors have no names
        return {}


def _flavor(text: str, wanted: str) -> dict[str, str]:
    """The values of one flavor: lines ``name: value`` below ``flavors:`` and ``wanted:``."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        if (match := _LINE.fullmatch(line)) is None:
            continue
        indent, name, value = len(match["indent"]), match["name"], match["value"].strip("'\"")
        path = [(depth, above) for depth, above in path if depth < indent]
        if [above for _, above in path] == ["flavors", wanted]:
            found[name] = value
        path.append((indent, name))
    return found
