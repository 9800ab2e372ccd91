"""Checks of a user's arguments: when the DAG is parsed, as far as they are known, and again after they are rendered.

Each error names the argument, the given value, and what to give instead. Standard library and our documents only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import ValidationError

from airflow_sklearn.contract.faults import either, explain, kind_of, sentences, shown, suggestion
from airflow_sklearn.contract.presets import PRESET_NAMES
from airflow_sklearn.contract.schema import Method, Policies
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import BaseModel

    _Model = TypeVar("_Model", bound=BaseModel)

Preprocessing = Literal["auto", "default", "none"]
AskedMethod = Literal["auto", "predict", "predict_proba", "decision_function", "transform", "score_samples"]

#: The formats in which models are stored; see ``Serializer``.
PERSISTENCE: tuple[str, ...] = ("joblib", "skops")
PREPROCESSING: tuple[str, ...] = get_args(Preprocessing)
METHODS: tuple[str, ...] = ("auto", *get_args(Method))

_BULLET = "\n  - "
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_place(value: Any) -> bool:
    """Whether an object is a source or a destination with methods of its own, rather than a URI."""
    return any(hasattr(value, name) for name in ("to_source", "to_output"))


def is_known(value: Any) -> bool:
    """Whether a value is final: neither a template nor something that an upstream task has yet to return."""
    if isinstance(value, str):
        return not ("{{" in value or "{%" in value)
    if isinstance(value, Mapping):
        return all(is_known(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_known(part) for part in value)
    return not _comes_later(value)


def check_all(*checks: Callable[[], object]) -> None:
    """Make all checks, and report their faults together.

    :raises UserError: there are faults.
    """
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except UserError as error:
            first, *listed = str(error).split(_BULLET)
            faults += listed if listed and not first else [str(error)]
    if faults := list(dict.fromkeys(faults)):
        raise UserError(faults[0] if len(faults) == 1 else "".join(f"{_BULLET}{fault}" for fault in faults))


def check_choice(argument: str, value: Any, choices: Collection[str]) -> None:
    """Check that an argument has one of several values.

    :raises UserError: it has not.
    """
    if is_known(value) and value not in choices:
        hint = suggestion(value, choices) if isinstance(value, str) else ""
        raise UserError(f"{argument}={shown(value)}: give {either(choices)}.{hint}")


def check_names(
    what: str, given: Iterable[str], known: Collection[str], belongs: Callable[[str], str] = lambda name: ""
) -> None:
    """Check that all names exist.

    :param what: what the names are, for the message.
    :param belongs: gives a sentence that says where else a name belongs; empty: nowhere.
    :raises UserError: some do not; for each the message says where it belongs, or suggests a similar one.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        hints = {name: belongs(name) or suggestion(name, known) for name in unknown}
        told = " ".join(f"There is no argument {name!r}.{hint}" for name, hint in hints.items())
        raise UserError(f"{what}: {told}")


def check_text(argument: str, value: Any, *, example: str) -> None:
    """Check that an argument is a text that is not empty.

    :param example: a valid value, for the message.
    :raises UserError: it is not.
    """
    if not is_known(value) or (isinstance(value, str) and value):
        return
    raise UserError(f"{argument}={shown(value)}: give a text, such as {example}.")


def check_columns(argument: str, value: Any) -> None:
    """Check that an argument is a column's name or a list of names.

    :raises UserError: it is not.
    """
    if not is_known(value) or value is None or isinstance(value, str):
        return
    if isinstance(value, set | frozenset):
        raise UserError(f"{argument}={shown(value)}: a set has no order. Give a list of names.")
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise UserError(f"{argument}={shown(value)}: give a column's name, or a list of names.")


def check_column(argument: str, value: Any) -> None:
    """Check that an argument is the name of one column, or nothing.

    :raises UserError: it is not.
    """
    if is_known(value) and value is not None and not isinstance(value, str):
        raise UserError(f"{argument}={shown(value)}: give a column's name.")


def check_target(value: Any) -> None:
    """Check that the target is the name of a column, a list of names, or None.

    :raises UserError: it is not.
    """
    if value is None:
        return
    if not is_known(value) or not isinstance(value, list | tuple | set | frozenset):
        check_text("target", value, example="target='churned'")
    elif not value or isinstance(value, set | frozenset) or not all(isinstance(one, str) and one for one in value):
        raise UserError(
            f"target={shown(value)}: give a column's name, or a list of names: target=['churned', 'spend']."
        )
    elif twice := sorted({one for one in value if list(value).count(one) > 1}):
        raise UserError(f"target={shown(value)}: {', '.join(map(repr, twice))} is named twice. Name each target once.")


def check_estimator(estimator: Any, params: Mapping[str, Any] | None = None) -> None:
    """Check an estimator and its parameters as far as that is possible without importing scikit-learn.

    :raises UserError: it is no preset, factory or estimator object, or there are parameters beside an object.
    """
    if params is not None and is_known(params) and not isinstance(params, Mapping):
        raise UserError(f"estimator_params={shown(params)}: give a dict of parameters by name, such as {{'C': 0.1}}.")
    if not is_known(estimator):
        return
    if isinstance(estimator, Mapping):
        for name, one in estimator.items():
            if not isinstance(one, str):
                raise UserError(
                    f"estimator={shown(estimator)}: of several targets each has a preset's name or "
                    f"'package.module:factory', and that of {name!r} is {kind_of(one)}."
                )
            check_estimator(one)
        check_names("estimator_params, by target", params or {}, estimator)
        return
    if isinstance(estimator, type):
        raise UserError(f"estimator={estimator.__name__} is the class: give an object, {estimator.__name__}(...).")
    if isinstance(estimator, str):
        if ":" in estimator and not is_factory(estimator):
            raise UserError(f"estimator={estimator!r} is no factory: give 'package.module:callable'.")
        if ":" not in estimator and estimator not in PRESET_NAMES:
            factory = " A factory is given as 'package.module:callable'." if "." in estimator else ""
            raise UserError(
                f"estimator={estimator!r}: there is no such preset.{suggestion(estimator, PRESET_NAMES)}{factory} "
                f"The presets are {', '.join(PRESET_NAMES)}."
            )
    elif not hasattr(estimator, "fit"):
        raise UserError(
            f"estimator={shown(estimator)} is {kind_of(estimator)}, which has no fit(). Give a preset's name, "
            "'package.module:callable', or an estimator object."
        )
    elif params and is_known(params):
        raise UserError(
            f"estimator_params={shown(params)} go with a preset or a factory. Set them on the estimator object itself: "
            f"{type(estimator).__name__}({', '.join(f'{name}=...' for name in params)})."
        )


def check_estimator_of_each(estimator: Any, target: Any) -> None:
    """Check that estimators by target are those of the targets.

    :raises UserError: a target has none, or there is none of that name.
    """
    if not isinstance(estimator, Mapping) or not is_known(estimator) or not is_known(target):
        return
    targets = column_names(target)
    if unknown := [name for name in estimator if name not in targets]:
        told = " ".join(f"there is no target {name!r}.{suggestion(name, targets)}" for name in unknown)
        raise UserError(f"estimator={shown(estimator)}: {told}")
    if missing := [name for name in targets if name not in estimator]:
        raise UserError(f"estimator={shown(estimator)}: the targets {missing} have none. Give one for each target.")


def is_factory(path: str) -> bool:
    """Whether a text is spelled as a factory, ``package.module:callable``."""
    return _FACTORY.fullmatch(path) is not None


def check_seconds(argument: str, value: Any) -> None:
    """Check that an argument is a positive number of seconds, or None.

    :raises UserError: it is not.
    """
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return
    raise UserError(f"{argument}={shown(value)}: give a number of seconds, more than 0.")


def check_duration(argument: str, value: Any) -> None:
    """Check that an argument is a positive ``timedelta``, or None.

    :raises UserError: it is not.
    """
    if value is None or (isinstance(value, timedelta) and value > timedelta(0)):
        return
    raise UserError(f"{argument}={shown(value)}: give a timedelta, such as timedelta(hours=2), or None for no limit.")


def check_count(argument: str, value: Any, least: int) -> None:
    """Check that an argument is a whole number, at least ``least``.

    :raises UserError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{argument}={shown(value)}: give a whole number, {least} or more.")


def check_flag(argument: str, value: Any) -> None:
    """Check that an argument is True or False.

    :raises UserError: it is not.
    """
    if not isinstance(value, bool):
        raise UserError(f"{argument}={shown(value)}: give True or False.")


def check_policies(given: Any) -> None:
    """Check policies. Templates are accepted.

    :raises UserError: a policy does not exist, or cannot have its value.
    """
    if _comes_later(given) or (isinstance(given, str) and not is_known(given)):
        return
    if isinstance(given, Mapping):
        harmless = Policies().model_dump()
        given = {name: value if is_known(value) else harmless.get(name, value) for name, value in given.items()}
    merge_policies(given)


def check_prediction(asked: Mapping[str, Any]) -> None:
    """Check what is asked of a prediction, as far as it is known: the columns that it writes, and its policies.

    :param asked: ``method``, ``outputs``, ``targets``, ``explain``, ``primary_key``, ``passthrough`` and ``policies``.
    :raises UserError: values are invalid; the message lists all, with what to give instead.
    """
    columns = ("outputs", "targets", "primary_key", "passthrough")
    check_all(
        lambda: check_choice("method", asked["method"], METHODS),
        *(partial(check_columns, name, asked[name]) for name in columns),
        lambda: check_count("explain", asked["explain"], 0),
        lambda: check_policies(asked["policies"]),
    )


def merge_policies(given: Any, trained: Policies | None = None) -> Policies:
    """Override policies.

    :param given: values by the policy's name; None: none.
    :param trained: the model's policies; None: the defaults.
    :raises UserError: a policy does not exist, or cannot have its value; the message lists all faults.
    """
    names = tuple(Policies.model_fields)
    if given is not None and not isinstance(given, Mapping):
        raise UserError(f"policies={shown(given)}: give a dict of {', '.join(names)}.")
    before = trained.model_dump() if trained else {}
    if trained and (given or {}).get("unseen_levels") == "level" != trained.unseen_levels:
        raise UserError(
            "policies: the model was trained without a level for values that training did not have. Fix: train it with "
            "policies={'unseen_levels': 'level'}, or say 'count'."
        )
    try:
        return Policies.model_validate({**before, **(given or {})})
    except ValidationError as error:
        faults = sentences(explain(error, names))
        raise UserError(f"policies: {faults} The policies are {', '.join(names)}.") from None


def column_names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names of columns as a tuple, from one name or several; None gives an empty tuple."""
    return (value,) if isinstance(value, str) and value else tuple(value or ())


def checked(document: type[_Model], what: str, **values: Any) -> _Model:
    """Make a document from a user's values.

    :param document: the document's class.
    :param what: what the user gave, for the message.
    :raises UserError: values do not fit; the message lists all faults.
    """
    try:
        return document(**values)
    except ValidationError as error:
        faults = sentences(explain(error, document.model_fields))
        raise UserError(f"{what} is not valid: {faults}") from None


def _comes_later(value: Any) -> bool:
    """Whether a value is an XComArg, or an argument over which a mapped task is expanded."""
    return hasattr(value, "resolve") and not isinstance(value, type | PurePath)
