"""The decision trees of scikit-learn's fitted estimators, in one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.ensemble._forest import BaseForest
from sklearn.tree import BaseDecisionTree

from airflow_sklearn.models.tree_effects import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HISTOGRAMS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_BOOSTING = (GradientBoostingClassifier, GradientBoostingRegressor)


@dataclass(frozen=True)
class TreeModel:
    """The trees of an estimator, whose values add up to its scores.

    :param trees: the trees, each with the numbers of the scores that its values add to. Of two classes there is one
        score, that of the second class.
    :param intercepts: what is added to the sums, of shape (scores,).
    :param matrix: turns the estimator's input of shape (rows, columns) into what the trees split by.
    :param columns: the column of the input that each column of the matrix is, of shape (columns,).
    :param probabilities: whether the scores are probabilities; else they are what boosting adds up, or numbers.
    """

    trees: Sequence[tuple[Tree, tuple[int, ...]]]
    intercepts: np.ndarray
    matrix: Callable[[Any], np.ndarray]
    columns: np.ndarray
    probabilities: bool


def has_known_trees(last: Any) -> bool:
    """Whether ``tree_model`` knows a fitted estimator: its score is a sum over trees, and a number."""
    if isinstance(last, _BOOSTING):
        return last.init_ == "zero" or isinstance(last.init_, DummyClassifier | DummyRegressor)
    return isinstance(last, (*HISTOGRAMS, BaseForest, BaseDecisionTree))


def tree_model(last: Any) -> TreeModel:
    """The trees of a fitted forest, boosting or decision tree.

    :param last: an estimator that ``has_known_trees``.
    """
    if isinstance(last, HISTOGRAMS):
        return _histograms(last)
    every = np.arange(last.n_features_in_)
    if isinstance(last, _BOOSTING):
        trees = [
            (_of_tree(one, _scaled(one, last.learning_rate)), (output,))
            for stage in last.estimators_
            for output, one in enumerate(stage)
        ]
        start = np.ravel(last._raw_predict_init(np.zeros((1, len(every)), np.float32)))
        return TreeModel(trees, start.astype(np.float64), _single, every, False)
    members = [last] if isinstance(last, BaseDecisionTree) else last.estimators_
    classes = len(last.classes_) if is_classifier(last) else 0
    values = [_shares(one) / len(members) if classes else _scaled(one, 1 / len(members)) for one in members]
    outputs = tuple(range(values[0].shape[1]))
    summed = [(_of_tree(one, added), outputs) for one, added in zip(members, values, strict=True)]
    return TreeModel(summed, np.zeros(len(outputs)), _single, every, bool(classes))


def _single(X: Any) -> np.ndarray:
    """The input as scikit-learn's trees take it: of single precision."""
    return np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float32)


def _scaled(member: Any, scale: float) -> np.ndarray:
    return np.asarray(member.tree_.value[:, 0, :] * scale)


def _shares(member: Any) -> np.ndarray:
    """The shares of the classes in each node; of two classes, of the second one. Of shape (nodes, scores)."""
    counts = member.tree_.value[:, 0, :]
    found = counts / counts.sum(axis=1, keepdims=True)
    return np.asarray(found[:, 1:] if found.shape[1] == 2 else found)


def _of_tree(member: Any, values: np.ndarray) -> Tree:
    """A decision tree of scikit-learn.

    :param values: of shape (nodes, scores).
    """
    tree = member.tree_
    nulls_left = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count)).astype(bool)
    feature, threshold = tree.feature, tree.threshold

    def goes_left(X: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        found = X[:, feature[nodes]].T
        return np.asarray((found <= threshold[nodes, None]) | (np.isnan(found) & nulls_left[nodes, None]))

    columns = np.where(tree.children_left < 0, -1, feature)
    return Tree(columns, tree.children_left, tree.children_right, tree.weighted_n_node_samples, values, goes_left)


def _histograms(last: Any) -> TreeModel:
    categorical = np.zeros(last.n_features_in_, bool) if last.is_categorical_ is None else last.is_categorical_
    # Its own preprocessing puts the categories first.
    columns = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    bitsets, places = last._bin_mapper.make_known_categories_bitsets()
    trees = [
        (_of_predictor(one, bitsets, places), (output,))
        for stage in last._predictors
        for output, one in enumerate(stage)
    ]
    start = np.ravel(last._baseline_prediction).astype(np.float64)
    return TreeModel(trees, start, lambda X: last._preprocess_X(X, reset=False), columns, False)


def _of_predictor(predictor: Any, known: np.ndarray, places: np.ndarray) -> Tree:
    """A tree of histogram gradient boosting.

    :param known: the categories that training had, as bits, of shape (columns of categories, 8).
    :param places: the number of each column in ``known``.
    """
    nodes, to_left = predictor.nodes, predictor.raw_left_cat_bitsets

    def goes_left(X: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        chosen = nodes[numbers]
        found = X[:, chosen["feature_idx"]].T
        left = found <= chosen["num_threshold"][:, None]
        null = np.isnan(found)
        for place in np.flatnonzero(chosen["is_categorical"]):
            one, codes = chosen[place], found[place]
            null[place] |= codes < 0
            whole = np.where(null[place], 0, codes).astype(np.uint8)
            left[place] = _has_bit(to_left[one["bitset_idx"]], whole)
            null[place] |= ~left[place] & ~_has_bit(known[places[one["feature_idx"]]], whole)
        return np.where(null, chosen["missing_go_to_left"][:, None].astype(bool), left)

    columns = np.where(nodes["is_leaf"], -1, nodes["feature_idx"])
    rows, values = nodes["count"].astype(np.float64), nodes["value"][:, None]
    return Tree(columns, nodes["left"].astype(int), nodes["right"].astype(int), rows, values, goes_left)


def _has_bit(bits: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.asarray((bits[numbers >> 5] >> (numbers & 31)) & 1, dtype=bool)
