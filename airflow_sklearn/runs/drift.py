"""How far the rows of a run have moved from those of training, from counts on the same bins.

The measure is the population stability index (N. Siddiqi, "Credit Risk Scorecards", Wiley 2006): the sum over bins of
(p - q) ln(p / q), for the shares p of the run and q of training. It is the divergence of H. Jeffreys (1946). By the
same source, below 0.1 nothing has changed that matters, and from 0.25 on much has.

Shares of few rows differ by chance. Without any drift, the index of B bins is about (1/n + 1/m) times a chi-square
variable with B - 1 degrees of freedom, for n and m rows (B. Yurdakul and J. Naranjo, "Statistical properties of the
population stability index", Journal of Risk Model Validation 14(4), 2020). An index that chance exceeds in 5 of 100
runs is no drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL, LARGE = 0.1, 0.25
_HALF_A_ROW = 0.5  # added to each count, so that a bin without rows has a logarithm
_Z_95 = 1.6449  # the 95th percentile of the normal distribution


@dataclass(frozen=True)
class Drift:
    """The distance of two distributions.

    :param index: the population stability index; 0.0: none.
    :param by_chance: what chance exceeds in 5 of 100 runs, without drift.
    """

    index: float
    by_chance: float

    @property
    def level(self) -> Literal["none", "some", "much"]:
        """What it means."""
        if self.index < max(SMALL, self.by_chance):
            return "none"
        return "some" if self.index < LARGE else "much"


def drift(run: Sequence[int], training: Sequence[int]) -> Drift | None:
    """The distance between a run's and training's counts.

    :param run: rows by bin, with bins for nulls and for values beyond training's.
    :param training: the same of training.
    :return: None if one of both has no rows, or if they do not have the same bins.
    """
    rows, trained = sum(run), sum(training)
    if len(run) != len(training) or not rows or not trained:
        return None
    used = [(n, m) for n, m in zip(run, training, strict=True) if n or m]
    index = 0.0
    for n, m in used:
        p = (n + _HALF_A_ROW) / (rows + _HALF_A_ROW * len(used))
        q = (m + _HALF_A_ROW) / (trained + _HALF_A_ROW * len(used))
        index += (p - q) * math.log(p / q)
    return Drift(index, (1 / rows + 1 / trained) * _chi_square_95(len(used) - 1))


def _chi_square_95(degrees: int) -> float:
    """The 95th percentile of the chi-square distribution (E. Wilson and M. Hilferty, 1931; within 1% of it)."""
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return degrees * (1 - part + _Z_95 * math.sqrt(part)) ** 3
