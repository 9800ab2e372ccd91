"""Hyperband: rounds of successive halving, from many cheap combinations of parameters to few expensive ones."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV
from sklearn.model_selection._search import BaseSearchCV


class HyperbandSearchCV(BaseSearchCV):
    """A search by Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, 2018).

    Its brackets are ``HalvingRandomSearchCV``. Bracket s starts ``(S + 1) / (s + 1) * factor**s`` combinations with
    ``largest / factor**s`` of the resource, S being the number of times that ``least`` can be multiplied.

    :param estimator: the estimator.
    :param param_distributions: lists of values, or distributions with ``rvs``, by parameter.
    :param resource: the parameter that makes fitting long.
    :param least: its smallest value.
    :param largest: its largest value.
    :param factor: the share of combinations that go on is one in so many.
    :param scoring: a scorer's name; None: the estimator's own score.
    :param cv: a splitter.
    :param random_state: the seed of the combinations.
    :param n_jobs: as in scikit-learn's searches.

    Learned attributes: ``cv_results_`` (those of all brackets, with ``bracket``), ``best_estimator_``,
    ``best_params_``, ``best_score_``, ``best_index_``.
    """

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        resource: str,
        least: int,
        largest: int,
        factor: int = 3,
        scoring: Any = None,
        cv: Any = None,
        random_state: int = 42,
        n_jobs: int | None = None,
        refit: bool = True,
    ) -> None:
        super().__init__(estimator=estimator, scoring=scoring, n_jobs=n_jobs, refit=refit, cv=cv)
        self.param_distributions = param_distributions
        self.resource = resource
        self.least = least
        self.largest = largest
        self.factor = factor
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, then fit on all rows with the best parameters.

        :param X: the rows.
        :param y: the target.
        :param params: further parameters of the estimator's ``fit``.
        """
        brackets = [self._bracket(number).fit(X, y, **params) for number in range(self._most(), -1, -1)]
        best = int(np.argmax([bracket.best_score_ for bracket in brackets]))
        counts = [len(bracket.cv_results_["params"]) for bracket in brackets]
        self.cv_results_ = {
            name: [value for bracket in brackets for value in bracket.cv_results_[name]]
            for name in ("params", "mean_test_score", "std_test_score", "mean_fit_time", "n_resources")
        }
        self.cv_results_["bracket"] = [number for number, count in enumerate(counts) for _ in range(count)]
        scores = np.nan_to_num(np.array(self.cv_results_["mean_test_score"]), nan=-np.inf)
        self.cv_results_["rank_test_score"] = (1 + (scores[:, None] < scores[None, :]).sum(axis=1)).tolist()
        self.best_index_ = sum(counts[:best]) + brackets[best].best_index_
        self.best_params_ = brackets[best].best_params_
        self.best_score_ = brackets[best].best_score_
        self.multimetric_, self.scorer_, self.n_splits_ = False, brackets[best].scorer_, brackets[best].n_splits_
        self.best_estimator_ = clone(self.estimator, safe=False).set_params(**clone(self.best_params_, safe=False))
        self.best_estimator_.fit(X, y, **params)
        return self

    def _most(self) -> int:
        return int(math.log(self.largest / self.least) / math.log(self.factor) + 1e-9)

    def _bracket(self, number: int) -> Any:
        candidates = math.ceil((self._most() + 1) / (number + 1) * self.factor**number)
        return HalvingRandomSearchCV(
            self.estimator,
            self.param_distributions,
            n_candidates=candidates,
            resource=self.resource,
            min_resources=max(1, self.largest // self.factor**number),
            max_resources=self.largest,
            factor=self.factor,
            scoring=self.scoring,
            cv=self.cv,
            random_state=self.random_state + number,
            n_jobs=self.n_jobs,
            refit=False,
        )
