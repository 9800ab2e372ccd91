"""Sizes in bytes, as users write them and as people read them."""

from __future__ import annotations

import math
import re

from airflow_sklearn.exceptions import UserError

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?\s*")
_POWERS = ("", "K", "M", "G", "T")


def to_bytes(size: float | str) -> int:
    """A size in bytes: ``64_000_000`` for ``"64MB"`` and ``64e6``, ``67_108_864`` for ``"64MiB"``.

    :raises UserError: it is no size, or less than one byte.
    """
    count = 0.0
    if isinstance(size, str) and (found := _SIZE.fullmatch(size)):
        number, letter, binary = found.groups()
        count = float(number) * (1024 if binary else 1000) ** _POWERS.index(letter.upper())
    elif isinstance(size, int | float) and not isinstance(size, bool):
        count = size
    if not 1 <= count < math.inf:
        raise UserError(f"chunk_size={size!r} is no size. Give bytes, or a text such as '64MB', '1GB', '256MiB'.")
    return int(count)


def shown_bytes(size: float) -> str:
    """A size for people, with three digits: ``512 B``, ``1.25 MB``, ``12.5 GB``."""
    power = min(int(math.log10(size) / 3), len(_POWERS) - 1) if size >= 1 else 0
    number = size / 1000**power
    decimals = 0 if power == 0 or number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{decimals}f} {_POWERS[power]}B"
