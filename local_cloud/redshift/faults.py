"""What shall go wrong with the statements that match: set by tests, looked up before and after each statement."""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import dataclass, field
from typing import Literal

from local_cloud.redshift.errors import RedshiftError

Action = Literal["fail", "drop before", "drop after", "pause"]


@dataclass
class Rule:
    """One fault.

    :param pattern: a regular expression that is looked for in the statement as the client wrote it.
    :param skip: so many matching statements pass before the first one that is struck.
    :param times: so many are struck.
    :param message: of the error, with ``sqlstate`` and ``detail``.
    """

    action: Action
    pattern: str
    skip: int = 0
    times: int = 1
    message: str = ""
    sqlstate: str = "XX000"
    detail: str = ""
    number: int = 0
    fired: int = 0
    _compiled: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._compiled = re.compile(self.pattern, re.IGNORECASE | re.DOTALL)

    def strikes(self, sql: str) -> bool:
        """Whether it strikes this statement, which is counted."""
        if self.fired >= self.times or not self._compiled.search(sql):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.fired += 1
        return True

    @property
    def error(self) -> RedshiftError:
        """What a client gets to hear."""
        return RedshiftError(self.message, self.sqlstate, self.detail)


class Faults:
    """The rules that hold now."""

    def __init__(self) -> None:
        self._rules: dict[int, Rule] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> int:
        """Let a rule hold; its number."""
        with self._lock:
            rule.number = next(self._numbers)
            self._rules[rule.number] = rule
            return rule.number

    def remove(self, number: int) -> Rule | None:
        """Let a rule hold no longer."""
        with self._lock:
            return self._rules.pop(number, None)

    def fired(self, number: int) -> int:
        """How often a rule has struck."""
        with self._lock:
            return self._rules[number].fired

    def matching(self, sql: str) -> list[Rule]:
        """The rules that strike this statement."""
        with self._lock:
            return [rule for rule in self._rules.values() if rule.strikes(sql)]
