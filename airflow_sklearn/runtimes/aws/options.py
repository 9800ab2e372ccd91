"""The common part of AWS runtimes' options: how they are checked and shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class AwsOptions(ABC):
    """The base of a runtime's options: a dataclass whose fields are the runtime's arguments.

    Options are checked when they are given. The error names the runtime, and lists all faults.
    """

    whole_numbers: ClassVar[tuple[str, ...]] = ()
    """Options that are whole numbers, or None."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """Options that are numbers, or None."""
    lists: ClassVar[tuple[str, ...]] = ()
    """Options that are lists of texts."""
    shown: ClassVar[tuple[str, ...]] = ()
    """Options that ``repr`` names with their values."""

    env: dict[str, str]
    """Further environment variables of the worker."""

    def __post_init__(self) -> None:
        """Check the options.

        :raises UserError: an option is invalid; the message lists all faults.
        """
        self._read_numbers()
        if found := [*self.problems(), *self._list_problems()]:
            lines = "\n".join(f"  - {one}" for one in found)
            raise UserError(f"{type(self).__name__} cannot run like this:\n{lines}")

    def __repr__(self) -> str:
        """Names the variables of ``env``, never their values: Airflow stores and shows this text."""
        said = {**{name: self.shown_value(name) for name in self.shown}, "env": sorted(self.env)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said.items() if value)})"

    @abstractmethod
    def problems(self) -> Iterator[str]:
        """Yield the faults of the options, one sentence each. Templates are not looked into."""

    def shown_value(self, name: str) -> Any:
        """An option's value as ``repr`` shows it."""
        return getattr(self, name)

    def check_rendered(self) -> None:
        """Check the options after templates were rendered.

        :raises UserError: a template that must give a list gave a text.
        """
        for option in self.lists:
            if not isinstance(value := getattr(self, option), list | tuple):
                raise UserError(
                    f"{type(self).__name__}({option}=...) is {value!r} after rendering: it is a list. Write a list of "
                    "templates, or give the DAG render_template_as_native_obj=True."
                )

    def _read_numbers(self) -> None:
        """Convert numbers given as text, as in AWS's own documents, to numbers."""
        name = type(self).__name__
        for option in (*self.whole_numbers, *self.numbers):
            value = getattr(self, option)
            if value is None:
                continue
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise UserError(f"{name}({option}={value!r}): it is a number, and no template.") from None
            if option not in self.whole_numbers:
                setattr(self, option, number)
            elif number.is_integer():
                setattr(self, option, int(number))
            else:
                raise UserError(f"{name}({option}={value!r}): it is a whole number.")

    def _list_problems(self) -> Iterator[str]:
        """Faults of options that must be lists. A template may become one, and is accepted."""
        for option in self.lists:
            value = getattr(self, option)
            if isinstance(value, str) and "{{" not in value:
                yield f"{option}={value!r}: it is a list"


def taken_problems(option: str, given: Iterable[str], taken: Mapping[str, str], what: str) -> Iterator[str]:
    """Faults of an option that holds further arguments of an API.

    :param option: the option's name.
    :param given: the names of the arguments in it.
    :param taken: arguments that the runtime sets itself, and the options that set them.
    :param what: the API's action, for the message.
    """
    for name in sorted(set(given) & set(taken)):
        yield f"{option}: {name} is set for each {what}" + (f", from {taken[name]}" if taken[name] else "")
