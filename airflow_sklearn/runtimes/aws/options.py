"""Checks of options that runtimes share. What is wrong is said with the runtime's own name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_sklearn.runtimes.base import Runtime


def read_numbers(runtime: Runtime, *, whole: Sequence[str], others: Sequence[str]) -> None:
    """Make numbers of what AWS, and so many people, write as text.

    :raises UserError: something is no number.
    """
    name = type(runtime).__name__
    for option in (*whole, *others):
        value = getattr(runtime, option)
        if value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UserError(f"{name}({option}={value!r}): it is a number, and no template.") from None
        if option not in whole:
            setattr(runtime, option, number)
        elif number.is_integer():
            setattr(runtime, option, int(number))
        else:
            raise UserError(f"{name}({option}={value!r}): it is a whole number.")


def list_problems(runtime: Runtime, options: Iterable[str]) -> Iterator[str]:
    """Of options that are lists; a template may become one."""
    for option in options:
        value = getattr(runtime, option)
        if isinstance(value, str) and "{{" not in value:
            yield f"{option}={value!r}: it is a list"


def check_rendered(runtime: Runtime, options: Iterable[str]) -> None:
    """:raises UserError: a template that should give a list has given a text."""
    for option in options:
        if not isinstance(value := getattr(runtime, option), list | tuple):
            raise UserError(
                f"{type(runtime).__name__}({option}=...) is {value!r} after rendering: it is a list. Write a list of "
                "templates, or give the DAG render_template_as_native_obj=True."
            )


def taken_problems(option: str, given: Iterable[str], taken: Mapping[str, str], what: str) -> Iterator[str]:
    """Of an option with further arguments of an API.

    :param taken: arguments that are set already, and from which options.
    :param what: that they are set for.
    """
    for name in sorted(set(given) & set(taken)):
        yield f"{option}: {name} is set for each {what}" + (f", from {taken[name]}" if taken[name] else "")


def raise_problems(runtime: Runtime, found: Iterable[str]) -> None:
    """:raises UserError: there are some."""
    if said := list(found):
        lines = "\n".join(f"  - {one}" for one in said)
        raise UserError(f"{type(runtime).__name__} cannot run like this:\n{lines}")
