"""What does not fit a document, in the words of the person who wrote it: no pydantic on the way to a user."""

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
    """One line a fault: where, what was given, and what fits.

    :param names: of the options that there are, to suggest one for a misspelled one.
    """
    return list(dict.fromkeys(_explain(fault, tuple(names)) for fault in error.errors(include_url=False)))


def sentences(lines: Iterable[str]) -> str:
    """Faults one after another, each with its full stop or question mark."""
    return " ".join(line if line.endswith(("?", ".")) else f"{line}." for line in lines)


def kind_of(value: Any) -> str:
    """What a value is, in words of people: ``a text``, ``a list``, ``a Ridge``."""
    if value is None:
        return "None"
    if isinstance(value, PurePath):
        return "a path of pathlib (say str(...) of it)"
    words = {bool: "True or False", str: "a text", int: "a number", float: "a number", dict: "a dict"}
    words |= {list: "a list", tuple: "a list", set: "a set"}
    name = type(value).__name__
    return words.get(type(value), f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question to follow a sentence about an unknown word; empty where nothing is alike."""
    names = list(known)
    same = [name for name in names if name.strip().casefold() == word.strip().casefold()]
    close = same or difflib.get_close_matches(word, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def either(choices: Iterable[str]) -> str:
    """``'a', 'b' or 'c'``."""
    shown = [repr(choice) for choice in choices]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing"


def counted(number: int, noun: str) -> str:
    """``1 object``, ``2 objects``, ``1,000 objects``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: Any) -> str:
    """A value as a message shows it: never long."""
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
    """Of pydantic's ``'a', 'b' or 'c'``."""
    return [word.strip().strip("'") for part in expected.split(", ") for word in part.split(" or ")]
