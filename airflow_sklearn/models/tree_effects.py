"""Shapley values of a decision tree, exactly.

A tree's answer for a row of which only some features are known is the mean over the leaves that it may reach, weighted
by the training rows there (the "path-dependent" expectation of Lundberg and others, "From local explanations to global
understanding with explainable AI for trees", 2020). A leaf then counts with a product over the features on its path: 1
or 0 for a known one (the row goes this way, or not), and the share of rows that go this way for an unknown one. The
Shapley value of a feature in such a product is the integral, over the probability that any other one is known, of a
polynomial (Owen, "Multilinear extensions of games", 1972), which Gauss-Legendre quadrature gives exactly.

Columns that are made of one feature, such as the indicators of a category, are known together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BLOCKS = (32, 512)  # rows at once; the last block is filled up
_LEAVES = 16  # at once, so that the arrays stay in the processor's cache


def blocks(rows: int) -> Iterator[tuple[int, int]]:
    """The first row and the length of each block in which effects are computed: 512 rows, or 32 of the last ones."""
    start = 0
    while start < rows:
        size = _BLOCKS[rows - start > _BLOCKS[0] * 4]
        yield start, size
        start += size


@dataclass(frozen=True)
class Tree:
    """A decision tree. The nodes are numbered from the root, 0.

    :param columns: the column that each node splits by; -1 for leaves. Of shape (nodes,).
    :param left: the left child of each node, of shape (nodes,).
    :param right: the right child.
    :param rows: the training rows in each node, weighted or not.
    :param values: what the leaves add to the scores, of shape (nodes, outputs).
    :param goes_left: for rows of shape (rows, columns) and nodes, whether each row goes left: shape (nodes, rows).
    """

    columns: np.ndarray
    left: np.ndarray
    right: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    goes_left: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Leaves:
    """Leaves with the paths that lead to them.

    :param leaves: the numbers of the leaves, of shape (leaves,).
    :param counts: the features on each path.
    :param players: these features, of shape (leaves, most features on a path).
    :param shares: the share of rows that goes the path's way at all splits by a feature; 1 where there is none, so that
        it has no effect.
    :param nodes: the inner nodes of each path, of shape (leaves, longest path); -1 past its end.
    :param slots: for each of these nodes the place of its feature in ``players``.
    :param to_left: whether the path goes left there; true past its end.
    """

    leaves: np.ndarray
    counts: np.ndarray
    players: np.ndarray
    shares: np.ndarray
    nodes: np.ndarray
    slots: np.ndarray
    to_left: np.ndarray

    def rows(self, chosen: np.ndarray | slice) -> _Leaves:
        """Some of the leaves."""
        return _Leaves(*(values[chosen] for values in vars(self).values()))

    def narrowed(self, width: int) -> _Leaves:
        """The same with room for so many features only, at least one."""
        wide = self.padded(max(width, self.players.shape[1]), self.nodes.shape[1])
        return replace(wide, players=wide.players[:, :width], shares=wide.shares[:, :width])

    def padded(self, width: int, depth: int) -> _Leaves:
        """The same with room for more features and nodes."""
        more = ((0, 0), (0, width - self.players.shape[1]))
        on = ((0, 0), (0, depth - self.nodes.shape[1]))
        return _Leaves(
            self.leaves,
            self.counts,
            np.pad(self.players, more, constant_values=-1),
            np.pad(self.shares, more, constant_values=1.0),
            np.pad(self.nodes, on, constant_values=-1),
            np.pad(self.slots, on),
            np.pad(self.to_left, on, constant_values=True),
        )


class TreeEffects:
    """The effects of features on the scores of a tree.

    :param tree: the tree.
    :param features: the number of the feature that each column is made of, of shape (columns,).
    """

    def __init__(self, tree: Tree, features: np.ndarray) -> None:
        self._tree, self._inner = tree, np.flatnonzero(tree.columns >= 0)
        number = np.full(len(tree.columns) + 1, len(self._inner))  # past the end of a path: a node where all go left
        number[self._inner] = np.arange(len(self._inner))
        found = _leaves_of(tree, features)
        self._values = tree.values[found.leaves]
        self._parts = []
        for start in range(0, len(found.leaves), _LEAVES):
            part = found.rows(slice(start, start + _LEAVES))
            part = part.narrowed(max(1, int(part.counts.max())))
            points, weights = np.polynomial.legendre.leggauss((part.players.shape[1] + 1) // 2)
            self._parts.append((start, part, number[part.nodes], list(zip((points + 1) / 2, weights / 2, strict=True))))
        #: The mean of the scores over the training rows, of shape (outputs,).
        self.averages = (found.shares.prod(axis=1)[:, None] * self._values).sum(axis=0)

    def add_to(self, found: np.ndarray, X: np.ndarray, outputs: Sequence[int]) -> None:
        """Add the effects.

        :param found: receives them: shape (scores, features, rows).
        :param X: a full block of rows, of shape (rows, columns). Each step treats its rows alike and apart, so that
            their bits do not depend on the others.
        :param outputs: the numbers of the scores that the tree's values add to.
        """
        left = np.ones((len(self._inner) + 1, len(X)), bool)
        left[:-1] = self._tree.goes_left(X, self._inner)
        for start, part, nodes, points in self._parts:
            effects = _effects_of(part, left, nodes, points)
            for player in np.unique(part.players[part.players >= 0]):
                leaf, slot = np.nonzero(part.players == player)
                mine = effects[slot, leaf]
                for place, output in enumerate(outputs):
                    found[output, player] += (mine * self._values[start + leaf, place, None]).sum(axis=0)


def _effects_of(
    part: _Leaves, left: np.ndarray, nodes: np.ndarray, points: Sequence[tuple[float, float]]
) -> np.ndarray:
    """The effects in some leaves if each had the value 1: shape (features on a path, leaves, rows).

    :param left: for each node, whether rows go left there, of shape (nodes + 1, rows).
    :param nodes: the nodes of the paths, as numbers in ``left``.
    :param points: the points of the quadrature, with their weights.
    """
    shares, every = part.shares.T[:, :, None], np.arange(len(nodes))
    goes = np.ones((*shares.shape[:2], left.shape[1]), bool)
    for step in range(nodes.shape[1]):
        goes[part.slots[:, step], every] &= left[nodes[:, step]] == part.to_left[:, step, None]
    known, found = goes.astype(np.float64), np.zeros(goes.shape)
    for point, weight in points:
        factors = shares * (1 - point) + known * point
        after = [np.ones(known.shape[1:])]
        for factor in factors[:0:-1]:
            after.append(after[-1] * factor)
        before = np.full(known.shape[1:], weight)
        for slot, factor in enumerate(factors):
            found[slot] += before * after[-1 - slot]
            before = before * factor
    return np.asarray(found * (known - shares))


def _leaves_of(tree: Tree, features: np.ndarray) -> _Leaves:
    """The leaves of a tree, those with few features on their paths first."""
    level = _Leaves(
        np.zeros(1, int), np.zeros(1, int), *(np.zeros((1, 0), kind) for kind in (int, float, int, int, bool))
    )
    ended = []
    while len(level.leaves):
        is_leaf = tree.columns[level.leaves] < 0
        ended.append(level.rows(is_leaf))
        level = _next_level(tree, features, level.rows(~is_leaf))
    width, depth = ended[-1].players.shape[1], ended[-1].nodes.shape[1]
    same = [vars(part.padded(width, depth)) for part in ended]
    found = _Leaves(*(np.concatenate([part[name] for part in same]) for name in same[0]))
    return found.rows(np.argsort(found.counts, kind="stable"))


def _next_level(tree: Tree, features: np.ndarray, level: _Leaves) -> _Leaves:
    """The children of the nodes of a level, with their paths."""
    nodes, every = level.leaves, np.arange(len(level.leaves))
    mine = features[tree.columns[nodes]]
    known = level.players == mine[:, None]
    slot = np.where(known.any(axis=1), known.argmax(axis=1) if known.shape[1] else 0, level.counts)
    longer = level.padded(level.players.shape[1] + 1, level.nodes.shape[1] + 1)
    longer.players[every, slot] = mine
    longer.nodes[:, -1], longer.slots[:, -1] = nodes, slot
    children = []
    for to_left, side in ((True, tree.left), (False, tree.right)):
        shares, directions = longer.shares.copy(), longer.to_left.copy()
        rows = tree.rows[nodes]
        shares[every, slot] *= np.divide(tree.rows[side[nodes]], rows, out=np.zeros(len(rows)), where=rows > 0)
        directions[:, -1] = to_left
        counts = np.maximum(level.counts, slot + 1)
        children.append((side[nodes], counts, longer.players, shares, longer.nodes, longer.slots, directions))
    return _Leaves(*(np.concatenate(pair) for pair in zip(*children, strict=True)))
