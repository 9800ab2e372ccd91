"""Estimators of the benchmarks that are not presets."""

from __future__ import annotations

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def one_hot_logistic() -> Pipeline:
    """Impute, scale, one-hot encode and regress, with scikit-learn's own parts, as users write it."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore")
    selected = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(selected, LogisticRegression(max_iter=1000))
