"""The plain scikit-learn pipeline that each preset stands for, and skrub's."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.feature_selection import SelectFromModel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder, StandardScaler

from airflow_sklearn.models.presets import build_preset

_NUMBERS, _OTHERS = make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")


class Days(TransformerMixin, BaseEstimator):
    """Dates as days, which is the least that a plain pipeline needs."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Days:
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        dates = X.select_dtypes("datetime").columns
        return X.assign(**{name: (X[name] - pd.Timestamp(1970, 1, 1)).dt.days for name in dates})


class _Lasso(LassoCV):
    """The lasso of labels as numbers."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        return super().fit(X, y if y.dtype.kind == "f" else LabelEncoder().fit_transform(y), sample_weight)


def plain(preset: str) -> Pipeline:
    """Imputing, scaling and one-hot encoding as scikit-learn's guide shows it, then the preset's own estimator."""
    final = build_preset(preset)[-1]
    if preset.startswith("hist"):
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
        return make_pipeline(Days(), make_column_transformer((codes, _OTHERS), remainder="passthrough"), final)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    table = make_column_transformer((numbers, _NUMBERS), (onehot, _OTHERS))
    if not preset.startswith("sparse"):
        return make_pipeline(Days(), table, final)
    lasso = _Lasso(cv=KFold(4, shuffle=True, random_state=42))
    return make_pipeline(Days(), table, SelectFromModel(lasso, threshold=1e-10), final)


def skrubs(task: str) -> Any:
    import skrub

    return skrub.tabular_pipeline("classifier" if task == "classes" else "regressor")
