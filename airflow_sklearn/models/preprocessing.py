"""The default preprocessing: makes a matrix of numbers from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from airflow_sklearn.models.columns import ArrowColumn, arrow_columns, codes
from airflow_sklearn.models.learned import Learner, as_kind, learned_before
from airflow_sklearn.models.levels import TargetNumbers, as_levels
from airflow_sklearn.models.matrix import NumberBlock, dense_matrix, frame, places_of, sparse_matrix
from airflow_sklearn.models.number_columns import number_arrays
from airflow_sklearn.models.words import word_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

#: With a larger share of non-zero entries a dense matrix is smaller and faster (ColumnTransformer has the same limit).
_DENSE_FROM = 0.3


class TablePreprocessor(TransformerMixin, BaseEstimator):
    """Turns numbers, booleans, strings, categories, dates, texts and nulls into a matrix of float64.

    ``fit`` and ``transform`` take a pandas DataFrame or an Arrow table, and give the same bits for both; also a matrix,
    whose columns are then called ``x0``, ``x1``, ... Arrow with dictionary-encoded strings is fastest: only the
    dictionary's values are looked up, not the rows. The order of columns does not matter.

    - Columns whose values were all null in training, or all the same, are not used.
    - Numbers and booleans are imputed and scaled. Those that had nulls in training get an indicator column. Of whole
      numbers that a double cannot hold the smallest is subtracted first.
    - Dates become numbers: year, month, day, weekday and hour (UTC), as far as they varied in training.
    - Strings and categories are expanded: one indicator column a level, and one for nulls if training had nulls.
      Categories may have values of any type, also numbers.
    - Categories with too many levels become one number: the mean of the target in the level's rows (see ``encoder``).
    - Texts, which are strings of several words with too many different values, become counts of hashed words.

    :param categories: ``onehot``: indicator columns. A value that training did not have gives zeros in all of them.
        ``ordinal``: the level's number, ordered categories in their order, others sorted as text; nulls and values that
        training did not have are NaN (-1 with ``impute``). ``native``: the result is a DataFrame whose categories have
        pandas' dtype ``category``, as ``HistGradientBoosting*`` takes them; ordered ones are numbers.
    :param expand: the columns that are expanded: ``auto``: strings and categories; ``none``; or a list of names, also
        of columns of numbers and booleans. Other categories are handled like those with too many levels.
    :param max_levels: the most levels of an expanded column (with ``native`` never more than 255).
    :param encoder: what becomes of categories with more levels: ``target``: the mean of the target in the level's rows,
        drawn to the overall mean in small levels, and one column a class where there are more than two. Levels with one
        row count as values that training did not have. ``fit_transform`` learns it for each row from other rows.
        Without a target: as ``frequency``, the share of rows that have the level. ``drop``: they are not used.
        ``error``: they are refused.
    :param min_frequency: the fewest rows of a level, or their share if it is below 1. All rarer levels, and values that
        training did not have, are one further level. None: every level is one of its own.
    :param null_indicators: ``all``; ``expanded``: of expanded columns only; ``none``.
    :param impute: ``mean``, ``median``, a number, or None to keep nulls as NaN for estimators that take them.
    :param scale: subtract the mean, and divide by the standard deviation, of training's non-null values.
    :param dates: ``numbers``; ``cyclic`` for sine and cosine of each part except the year (for linear models).
    :param date_parts: of ``year``, ``month``, ``day``, ``weekday``, ``hour``, ``days`` (since 1970); None: all but
        ``days``; empty: dates are not used.
    :param text: the columns that are texts; ``auto``: strings with more than ``max_levels`` levels, and on average at
        least three words; ``none``.
    :param text_columns: the number of columns of hashed words for each text.
    :param constants: ``drop`` or ``keep`` columns with one value.
    :param null_columns: columns whose values are all null: ``warn``, ``drop`` or ``error``.
    :param sparse: whether the result is a ``scipy.sparse.csr_matrix``. ``auto``: ``fit`` decides by the share of
        zeros. It is never sparse unless categories are ``onehot``.
    :param warn_levels: warn about expanded columns with more levels than this; not with ``native``.
    :param target: the target's kind for ``encoder``: ``classes``, ``numbers``, or ``auto``: floating-point numbers are
        numbers, all others classes.
    :param random_state: the seed of the folds in ``fit_transform``.

    Learned attributes: ``feature_names_in_``, ``n_features_in_``, ``kinds_`` (one word a column), ``levels_`` (lists by
    column), ``expanded_`` (the columns with indicators), ``other_levels_`` and ``null_levels_`` (those of them with a
    column for all other levels, and for nulls), ``tables_`` (by column, the numbers that stand for levels, null and
    unseen), ``numbers_`` (for each number its column and its date part, or ""), ``means_``, ``scales_`` and ``fills_``
    (for each number), ``offsets_`` (by column), ``null_indicators_``, ``texts_`` and ``sparse_``.
    """

    accepts_arrow = True

    def __init__(
        self,
        *,
        categories: Literal["onehot", "ordinal", "native"] = "onehot",
        expand: Literal["auto", "none"] | Sequence[str] = "auto",
        max_levels: int = 5000,
        encoder: Literal["target", "frequency", "drop", "error"] = "target",
        min_frequency: float | None = None,
        null_indicators: Literal["all", "expanded", "none"] = "all",
        impute: Literal["mean", "median"] | float | None = "mean",
        scale: bool = True,
        dates: Literal["numbers", "cyclic"] = "numbers",
        date_parts: Sequence[str] | None = None,
        text: Literal["auto", "none"] | Sequence[str] = "auto",
        text_columns: int = 64,
        constants: Literal["drop", "keep"] = "drop",
        null_columns: Literal["warn", "drop", "error"] = "warn",
        sparse: bool | Literal["auto"] = "auto",
        warn_levels: int = 500,
        target: Literal["auto", "classes", "numbers"] = "auto",
        random_state: int = 42,
    ) -> None:
        self.categories = categories
        self.expand = expand
        self.max_levels = max_levels
        self.encoder = encoder
        self.min_frequency = min_frequency
        self.null_indicators = null_indicators
        self.impute = impute
        self.scale = scale
        self.dates = dates
        self.date_parts = date_parts
        self.text = text
        self.text_columns = text_columns
        self.constants = constants
        self.null_columns = null_columns
        self.sparse = sparse
        self.warn_levels = warn_levels
        self.target = target
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn levels, means and scales.

        :param X: a pandas DataFrame, an Arrow table, a record batch or a matrix, of shape (rows, features).
        :param y: the target, shape (rows,), for columns that ``encoder`` encodes; None: there is none.
        :raises TypeError: ``X`` is no table with named columns, or has columns that are neither numbers, booleans,
            strings nor dates.
        :raises ValueError: a parameter has an unknown value or names a column that does not exist, ``X`` has no rows,
            columns have too many levels, or numbers are infinite.
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray | sp.csr_matrix | pd.DataFrame:
        """Learn, and transform the same table. Where levels are encoded by the target, no row sees its own.

        :return: see ``transform``.
        """
        given, target = self._fit(X, y)
        columns = self._conform(given)
        across_folds = {} if target is None else self._across_folds(columns, target)
        return self._assembled(columns, len(next(iter(given.values()))), across_folds)

    def transform(self, X: Any) -> np.ndarray | sp.csr_matrix | pd.DataFrame:
        """The matrix for the estimator.

        :param X: a table with the columns of training, in any order.
        :return: float64 of shape (rows, len(get_feature_names_out())): numbers in training order, then null indicators,
            then categories, then words.
        :raises ValueError: columns are missing, are additional, have another kind of values than in training, or are
            infinite.
        """
        check_is_fitted(self, "numbers_")
        given = self._columns(X, fitting=False)
        return self._assembled(self._conform(given), len(next(iter(given.values()), ())), {})

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the result's columns, such as ``age``, ``joined:month``, ``age is null``, ``city=Rome``, ``city
        is rare`` (all other levels), ``city is null``, ``zip:target``, ``note:word7``.

        :param input_features: ignored; the names are those of training.
        :return: an array of str objects.
        """
        return np.array([result for _, result in self.column_origins()], dtype=object)

    def column_origins(self) -> list[tuple[str, str]]:
        """The columns of the result: the column of the table that each is made of, and its own name."""
        check_is_fitted(self, "numbers_")
        found = [(name, f"{name}:{part}" if part else name) for name, part in self.numbers_]
        found += [(name, f"{name} is null") for name in self.null_indicators_]
        for name in self.expanded_:
            if self.categories != "onehot":
                found.append((name, name))
                continue
            found += [(name, f"{name}={level}") for level in self.levels_[name]]
            found += [(name, f"{name} is rare")] if name in self.other_levels_ else []
            found += [(name, f"{name} is null")] if name in self.null_levels_ else []
        return found + [(name, f"{name}:word{index}") for name in self.texts_ for index in range(self.text_columns)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = True
        return tags

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore an object of any earlier version, which lacks attributes of later ones."""
        defaults = {name: p for name, p in type(self)().get_params().items() if name not in state}
        super().__setstate__({**state, **defaults})
        if "numbers_" in state and "tables_" not in state:
            for name, value in learned_before(state).items():
                setattr(self, name, value)

    # ------------------------------------------------------------------ learning

    def _fit(self, X: Any, y: Any) -> tuple[dict[str, ArrowColumn], TargetNumbers | None]:
        """Learn, and return the columns, and the target if levels were encoded by it."""
        columns = self._columns(X, fitting=True)
        target = TargetNumbers.of(y, self.target)
        learner = Learner(self.get_params(), columns, target)
        for name, value in learner.learn().items():
            setattr(self, name, value)
        self.sparse_ = self._wants_sparse()
        return columns, target if learner.used_target else None

    def _columns(self, X: Any, *, fitting: bool) -> dict[str, ArrowColumn]:
        """The columns of a table or a matrix by name.

        :raises TypeError: a matrix is given, and training had names.
        :raises ValueError: there are no rows, or not as many columns as in training.
        """
        is_table = hasattr(X, "__arrow_c_stream__") or isinstance(X, pd.DataFrame | pa.Table | pa.RecordBatch)
        if not is_table:
            X = check_array(X, dtype=None, ensure_all_finite=False, estimator=self)
        width = 0 if is_table else X.shape[1]
        names: Any = getattr(self, "feature_names_in_", None)
        if fitting:
            self.n_features_in_ = width
            if names is not None:
                del self.feature_names_in_
        elif not is_table and names is not None:
            raise TypeError("A table is needed (pandas DataFrame, pyarrow Table): training had columns with names.")
        elif not is_table and width != self.n_features_in_:
            raise ValueError(
                f"X has {width} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input."
            )
        if not is_table:
            return arrow_columns(pd.DataFrame(X, columns=self._names()).infer_objects())
        columns = arrow_columns(X)
        if fitting:
            self.feature_names_in_: np.ndarray = np.array(list(columns), dtype=object)
            self.n_features_in_ = len(columns)
            if not columns or not len(next(iter(columns.values()))):
                raise ValueError(f"A table of {len(columns)} columns without rows cannot be learned from.")
        return columns

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{index}" for index in range(self.n_features_in_)] if names is None else list(names)

    def _wants_sparse(self) -> bool:
        if self.categories != "onehot" or self.sparse is False:
            return False
        entries = len(self.numbers_) + len(self.null_indicators_) + len(self.expanded_) + 8 * len(self.texts_)
        return self.sparse is True or entries < _DENSE_FROM * len(self.get_feature_names_out())

    # ------------------------------------------------------------------ using what was learned

    def _conform(self, columns: dict[str, ArrowColumn]) -> dict[str, ArrowColumn]:
        """The columns that are used, in training order.

        :raises ValueError: columns do not fit; the message lists all faults.
        """
        every = dict(zip(self._names(), self.kinds_, strict=True))
        expected = {name: kind for name, kind in every.items() if kind != "unused"}
        conformed = {name: as_kind(columns[name], kind) for name, kind in expected.items() if name in columns}
        wrong = []
        if missing := [name for name in expected if name not in columns]:
            wrong.append(f"missing: {missing}")
        if extra := [name for name in columns if name not in every]:
            wrong.append(f"not seen in training: {extra}")
        for name in [name for name, column in conformed.items() if column is None]:
            wrong.append(f"{name!r} was {expected[name]} in training and is {columns[name].type} now")
        if wrong:
            raise ValueError("The columns are not those of training: " + "; ".join(wrong) + ".")
        return {
            name: as_levels(column) if expected[name] == "category" else column
            for name, column in conformed.items()
            if column is not None
        }

    def _codes(self, columns: dict[str, ArrowColumn], name: str) -> np.ndarray:
        return codes(columns[name], self.levels_[name])

    def _across_folds(self, columns: dict[str, ArrowColumn], target: TargetNumbers) -> dict[str, np.ndarray]:
        """What stands for the levels of each row, learned from other rows, by column."""
        found = {}
        for name in dict.fromkeys(name for name, part in self.numbers_ if part.startswith("target")):
            found[name] = target.across_folds(self._codes(columns, name), len(self.tables_[name]), self.random_state)
        return found

    def _assembled(
        self, columns: dict[str, ArrowColumn], rows: int, across_folds: dict[str, np.ndarray]
    ) -> np.ndarray | sp.csr_matrix | pd.DataFrame:
        arrays = self._arrays(columns, across_folds)
        places = [self._codes(columns, name) for name in self.expanded_]
        texts = word_counts((columns[name] for name in self.texts_), self.text_columns)
        block, width = self._number_block(), len(self.get_feature_names_out()) - self.text_columns * len(texts)
        result: np.ndarray | sp.csr_matrix
        if self.categories == "onehot":
            shape = sparse_matrix if self.sparse_ else dense_matrix
            result, finite = shape(rows, width, block, arrays, self._places(block), places)
        else:
            result = np.empty((rows, width))
            finite = block.write(result, arrays)
            for j, (name, place) in enumerate(zip(self.expanded_, places, strict=True), start=width - len(places)):
                result[:, j] = self._ordinals(name)[place]
        if not finite:
            raise ValueError(self._infinite(arrays))
        if texts:
            result = (
                sp.hstack([result, *texts], format="csr")
                if self.sparse_
                else np.hstack([result, *(matrix.toarray() for matrix in texts)])
            )
        if self.categories != "native":
            return result
        sizes = {name: len(self.levels_[name]) + (name in self.other_levels_) for name in self.expanded_}
        return frame(result, list(self.get_feature_names_out()), sizes)

    def _arrays(self, columns: dict[str, ArrowColumn], across_folds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The float64 arrays of all numbers."""
        parts: dict[str, list[str]] = {}
        for name, part in self.numbers_:
            parts.setdefault(name, []).append(part)
        arrays = []
        for name, wanted in parts.items():
            if name not in self.tables_:
                arrays += number_arrays(columns[name], wanted, self.offsets_.get(name, 0))
            elif name in across_folds:
                arrays += list(across_folds[name].T)
            else:
                code = self._codes(columns, name)
                arrays += [column.take(code) for column in self.tables_[name].T]
        return arrays

    def _number_block(self) -> NumberBlock:
        place = {name: j for j, (name, _) in reversed(list(enumerate(self.numbers_)))}
        flagged = [place[name] for name in self.null_indicators_]
        fills = None if self.impute is None else self.fills_
        return NumberBlock(self.means_, self.scales_, fills, self.scale, flagged)

    def _places(self, block: NumberBlock) -> Any:
        return places_of(
            len(self.numbers_) + len(block.flagged),
            [len(self.levels_[name]) for name in self.expanded_],
            [name in self.other_levels_ for name in self.expanded_],
            [name in self.null_levels_ for name in self.expanded_],
        )

    def _ordinals(self, name: str) -> np.ndarray:
        """The number of each code of a category."""
        count = len(self.levels_[name])
        absent = np.nan if self.impute is None or self.categories == "native" else -1.0
        return np.array([*range(count), absent, count if name in self.other_levels_ else absent])

    def _infinite(self, arrays: list[np.ndarray]) -> str:
        counts = {name: int(np.isinf(values).sum()) for (name, _), values in zip(self.numbers_, arrays, strict=True)}
        found = {name: count for name, count in counts.items() if count}
        return f"Columns hold infinite numbers (column: rows): {found}. Replace them by nulls."
