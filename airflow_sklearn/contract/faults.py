"""The faults of a document in a user's words, instead of pydantic's."""

from __future__ import annotations

import difflib
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import ValidationError

_WANTED = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "dict": "a dict",
    "mapping": "a dict",
    "tuple": "a list",
    "list": "a list",
    "set": "a list",
    "model": "a dict of its options",
}
_LONGEST_VALUE = 60  # characters


def explain(error: ValidationError, names: Iterable[str] = ()) -> list[str]:
    """A sentence for each fault: where it is, what was given, and what is valid.

    :param error: pydantic's error.
    :param names: the existing options, to suggest one for a misspelled name.
    """
    return list(dict.fromkeys(_explain(fault, tuple(names)) for fault in error.errors(include_url=False)))


def sentences(lines: Iterable[str]) -> str:
    """Join faults to one text; each gets its full stop unless it ends in one or in a question mark."""
    return " ".join(line if line.endswith(("?", ".")) else f"{line}." for line in lines)


def kind_of(value: Any) -> str:
    """A value's type in words: ``a text``, ``a list``, ``a Ridge``."""
    if value is None:
        return "None"
    if isinstance(value, PurePath):
        return "a path of pathlib (say str(...) of it)"
    words = {bool: "True or False", str: "a text", int: "a number", float: "a number", dict: "a dict"}
    words |= {list: "a list", tuple: "a list", set: "a set"}
    name = type(value).__name__
    return words.get(type(value), f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question that suggests a similar known word; empty if there is none.

    Words of several parts (``random_forest``) are similar if they have few other letters, or one has all parts of the
    other. What they share in an ending alone (``stacking_classifier``, ``boosting_classifier``) tells nothing.
    """
    names = list(known)
    given = word.strip().casefold()
    same = [name for name in names if name.strip().casefold() == given]
    parts = set(given.split("_"))
    least = 0.8 if len(parts) > 1 else 0.6
    close = same or difflib.get_close_matches(given, names, n=1, cutoff=least)
    close = close or [name for name in names if len(parts) > 1 and parts <= set(name.casefold().split("_"))]
    return f" Did you mean {close[0]!r}?" if close else ""


def either(choices: Iterable[str]) -> str:
    """Choices as text: ``'a', 'b' or 'c'``."""
    shown = [repr(choice) for choice in choices]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing"


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 object``, ``2 objects``, ``1,000 objects``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: Any) -> str:
    """A value as text for a message, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _explain(fault: Mapping[str, Any], names: tuple[str, ...]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    kind, given, context = fault["type"], fault["input"], fault.get("ctx", {})
    name = where or "this"
    if kind == "extra_forbidden":
        return f"there is no {name!r}.{suggestion(name, names)}"
    if kind == "missing":
        return f"{name} is missing"
    if kind in ("value_error", "assertion_error"):
        return f"{where}: {context['error']}" if where else str(context["error"])
    said = f"{name}={shown(given)}"
    if kind == "literal_error":
        choices = _choices(context["expected"])
        return f"{said}: give {either(choices)}.{suggestion(given, choices) if isinstance(given, str) else ''}"
    if kind.startswith("string_too_"):
        bound = context.get("max_length", context.get("min_length"))
        word = "at most" if "max_length" in context else "at least"
        return f"{said}: give {word} {bound} character{'' if bound == 1 else 's'}"
    bounds = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}
    if kind in bounds:
        words = {"ge": "{} or more", "gt": "more than {}", "le": "{} or less", "lt": "less than {}"}
        return f"{said}: give {words[bounds[kind]].format(context[bounds[kind]])}"
    wanted = _WANTED.get(kind.partition("_")[0])
    return f"{said}: give {wanted}" if wanted else f"{said}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _choices(expected: str) -> list[str]:
    """The choices in pydantic's text ``'a', 'b' or 'c'``."""
    return [word.strip().strip("'") for part in expected.split(", ") for word in part.split(" or ")]
