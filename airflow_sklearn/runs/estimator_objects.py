"""Estimator objects in DAG files: finding parts that cannot be stored, and names and digests equal in all processes.

Imports no scikit-learn. If a value is an estimator, scikit-learn has been imported already.
"""

from __future__ import annotations

import copyreg
import hashlib
import importlib.util
import inspect
import json
import pickle
import re
import sys
import types
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEPTH = 60
_SHOWN = 700  # characters of a description: scikit-learn's own limit (N_CHAR_MAX)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class EstimatorObject:
    """Wraps an estimator for Airflow, which shows, serializes and compares arguments by their text.

    The text is the same in every process.

    :param estimator: the unfitted estimator.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __repr__(self) -> str:
        return description(self.estimator)

    def serialize(self) -> str:
        """The text that Airflow stores with the DAG."""
        return description(self.estimator)


def held(estimator: Any) -> Any:
    """The estimator in an ``EstimatorObject``. Any other value is returned as it is."""
    return estimator.estimator if isinstance(estimator, EstimatorObject) else estimator


def wrapped(estimator: Any) -> Any:
    """An ``EstimatorObject`` around an estimator. Names, templates and references to other tasks are returned as they
    are.
    """
    is_object = not isinstance(estimator, str | type | EstimatorObject) and hasattr(estimator, "get_params")
    return EstimatorObject(estimator) if is_object else estimator


def check_can_be_stored(estimator: Any, whose: str = "your DAG file") -> None:
    """Check before fitting that an estimator can be pickled and loaded in another process.

    :param estimator: the estimator.
    :param whose: where classes come from that no other process can import; for the message.
    :raises UserError: parts of it cannot; the message names all of them, where they are, and what to do.
    """
    estimator = held(estimator)
    if isinstance(estimator, str | type) or not hasattr(estimator, "get_params"):
        return
    if faults := list(dict.fromkeys(_faults(estimator, type(estimator).__name__, whose, set(), 0))):
        raise UserError(
            f"The estimator {type(estimator).__name__} could be fitted but not stored:\n"
            + "\n".join(f"  - {fault}" for fault in faults[:10])
        )


def description(value: Any) -> str:
    """The estimator as text for people, without parts that differ between processes: addresses, and the order of
    sets.
    """
    text = _described(value, 0)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def digest(estimator: Any) -> str:
    """The SHA-256 of the names of an estimator's classes and of its parameters.

    It is not made of the pickle's bytes, since these depend on the order of sets and on which equal strings are one
    object, and so on the process.
    """
    return hashlib.sha256(_token(estimator, [], 0)).hexdigest()


def _faults(value: Any, where: str, whose: str, seen: set[int], depth: int) -> Iterator[str]:
    if isinstance(value, _PLAIN) or id(value) in seen or depth > _DEPTH:
        return
    seen.add(id(value))
    if isinstance(value, type):
        yield from _unimportable(value, where, whose)
    elif isinstance(value, _FUNCTIONS):
        owner = getattr(value, "__self__", None)
        if not isinstance(owner, types.ModuleType | None):
            yield from _faults(owner, f"{where}.__self__", whose, seen, depth + 1)
        else:
            yield from _unimportable(value, where, whose)
    elif isinstance(value, types.MethodType):
        yield from _faults(value.__self__, f"{where}.__self__", whose, seen, depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _faults(key, f"a key of {where}", whose, seen, depth + 1)
            yield from _faults(inner, f"{where}[{key!r}]" if isinstance(key, str) else where, whose, seen, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for number, inner in enumerate(value):
            yield from _faults(inner, f"{where}[{number}]", whose, seen, depth + 1)
    else:
        yield from _faults_of_object(value, where, whose, seen, depth)


def _faults_of_object(value: Any, where: str, whose: str, seen: set[int], depth: int) -> Iterator[str]:
    yield from _unimportable(type(value), where, whose)
    try:
        reduced = _reduced(value)
    except Exception as error:
        yield f"{where} is a {type(value).__name__}, which cannot be pickled ({error}). Fix: make it in fit or predict."
        return
    if isinstance(reduced, str):
        return
    _, arguments, *more = reduced
    state = more[0] if more else None
    if isinstance(state, tuple) and len(state) == 2 and all(isinstance(part, dict | type(None)) for part in state):
        state = {**(state[0] or {}), **(state[1] or {})}
    if isinstance(state, dict):
        for name, inner in state.items():
            yield from _faults(inner, f"{where}.{name}", whose, seen, depth + 1)
    else:
        yield from _faults(state, where, whose, seen, depth + 1)
    yield from _faults(list(arguments), where, whose, seen, depth + 1)
    for items in more[1:3]:
        yield from _faults(list(items) if items is not None else None, where, whose, seen, depth + 1)


def _reduced(value: Any) -> Any:
    """The parts into which pickle takes an object (``__reduce_ex__``)."""
    reducer = copyreg.dispatch_table.get(type(value))
    return reducer(value) if reducer else value.__reduce_ex__(4)


def _unimportable(value: Any, where: str, whose: str) -> Iterator[str]:
    """Faults of a class or a function that another process must import by name."""
    name, module = getattr(value, "__qualname__", value.__name__), getattr(value, "__module__", None) or ""
    kind = "class" if isinstance(value, type) else "function"
    if "<lambda>" in name:
        yield f"{where} is a lambda. Fix: write it as a function with a name, in a module that the worker can import."
    elif "<locals>" in name:
        yield f"{where}: the {kind} `{name.rpartition('.')[2]}` is defined within a function. Fix: move it to a module."
    elif not _is_importable(module):
        yield f"{where}: `{name}` is defined in {whose}. Fix: move it to a module that the worker can import."


def _is_importable(module: str) -> bool:
    if module in ("", "builtins"):
        return True
    if module in ("__main__", "__mp_main__") or "unusual_prefix_" in module:  # what Airflow calls DAG files
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        found = sys.modules.get(module)  # a module of an extension may have no specification
        return found is not None and getattr(found, "__spec__", None) is not None


def _described(value: Any, depth: int) -> str:
    if depth > _DEPTH:
        return "..."
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, dict):
        pairs = [f"{_described(key, depth + 1)}: {_described(item, depth + 1)}" for key, item in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(_described(inner, depth + 1) for inner in value)) + "}"
    if isinstance(value, list | tuple):
        opening, closing = "[]" if isinstance(value, list) else "()"
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return opening + ", ".join(_described(inner, depth + 1) for inner in value) + comma + closing
    if callable(getattr(value, "get_params", None)):
        return _described_estimator(value, depth)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _described_estimator(value: Any, depth: int) -> str:
    try:
        params = value.get_params(deep=False)
        defaults = {name: p.default for name, p in inspect.signature(type(value).__init__).parameters.items()}
    except Exception:  # an estimator that breaks scikit-learn's rules
        return type(value).__name__
    shown = [
        f"{name}={text}"
        for name, param in sorted(params.items())
        if (text := _described(param, depth + 1)) != _described(defaults.get(name), depth + 1)
    ]
    return f"{type(value).__name__}({', '.join(shown)})"


def _token(value: Any, path: list[int], depth: int) -> bytes:
    """Bytes that identify a value; equal for equal values in any process."""
    if isinstance(value, _PLAIN):
        return _joined(type(value).__name__, repr(value))
    if id(value) in path or depth > _DEPTH:
        return _joined("seen", path.index(id(value)) if id(value) in path else depth)
    path = [*path, id(value)]

    def inner(part: Any) -> bytes:
        return hashlib.sha256(_token(part, path, depth + 1)).digest()

    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
        return _joined("name", getattr(value, "__module__", ""), getattr(value, "__qualname__", value.__name__))
    if isinstance(value, dict):
        return _joined("dict", *sorted(inner(key) + inner(item) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return _joined("set", *sorted(map(inner, value)))
    if isinstance(value, list | tuple):
        return _joined(type(value).__name__, *map(inner, value))
    if _is_numpys_own_state(value):
        return _joined("numpy.random")
    try:
        reduced = _reduced(value)
    except Exception:
        return _joined("object", type(value).__module__, type(value).__qualname__)
    if isinstance(reduced, str):
        return _joined("name", reduced)
    parts = [list(part) if index >= 3 and part is not None else part for index, part in enumerate(reduced)]
    return _joined("object", inner(type(value)), *map(inner, parts))


def _is_numpys_own_state(value: Any) -> bool:
    """Whether a value is numpy's global generator, which scipy's distributions hold. Its state is no part of the
    estimator.
    """
    random = sys.modules.get("numpy.random.mtrand")
    return random is not None and value is getattr(random, "_rand", None)


def _joined(*parts: Any) -> bytes:
    texts = [part.hex() if isinstance(part, bytes) else str(part) for part in parts]
    return json.dumps(texts).encode(errors="surrogatepass")


def pickled(estimator: Any) -> bytes:
    """The estimator as pickled bytes.

    :raises UserError: it cannot be pickled, for a reason that ``check_can_be_stored`` does not find.
    """
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(estimator)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise UserError(
            f"The estimator {type(estimator).__name__} cannot be pickled ({type(error).__name__}: {error}). Fix: give "
            "it as a factory, 'package.module:callable'."
        ) from None
    return data
