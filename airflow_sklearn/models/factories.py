"""Estimators from a user's own code, and the default preprocessing before them."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from typing import TYPE_CHECKING, Any, Literal

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.tree import BaseDecisionTree
from sklearn.utils import get_tags

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.learned import faults_of_params
from airflow_sklearn.models.preprocessing import TablePreprocessor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Preprocessing = Literal["auto", "default", "none"]


def load_factory(path: str, params: Mapping[str, Any] | None = None) -> Any:
    """Import and call a user's factory.

    :param path: ``package.module:callable``. The callable may be a function or an estimator's class.
    :param params: keyword arguments for it; None: no arguments.
    :return: the unfitted estimator.
    :raises UserError: it cannot be imported or called, or does not return an estimator.
    """
    factory = _import_factory(path)
    try:
        estimator = factory(**(params or {}))
    except Exception as error:
        given = f" with {dict(params)}" if params else ""
        raise UserError(f"The factory {path} called{given} raised {type(error).__name__}: {error}") from error
    check_estimator_object(estimator, f"The factory {path} returned")
    return estimator


def check_estimator_object(estimator: Any, what: str = "The estimator is") -> None:
    """Refuse an object that is no estimator.

    :param what: the beginning of the message, which continues with what the object is.
    :raises UserError: the object is a class, or has no ``fit``. ``predict`` is not checked: some estimators, such as
        stacks, have it only after fitting.
    """
    if inspect.isclass(estimator):
        raise UserError(f"{what} the class {estimator.__name__}, not an instance of it: call it.")
    if missing := [method for method in ("fit", "get_params") if not hasattr(estimator, method)]:
        raise UserError(
            f"{what} {type(estimator).__name__}, which is no estimator: it has no {' and no '.join(missing)}."
        )


def with_preprocessing(
    estimator: Any,
    mode: Preprocessing = "auto",
    *,
    transformer: Any = None,
    params: Mapping[str, Any] | None = None,
    unseen_level: bool = False,
) -> Any:
    """A Pipeline with the package's preprocessing before a copy of an estimator.

    Histogram gradient boosting gets categories as categories, and nulls as nulls. Other trees get categories as ordinal
    numbers, and keep nulls if they take them. All other estimators get indicator columns and imputed, scaled numbers;
    the matrix is sparse if they take that and it is smaller.

    :param mode: ``default``: always. ``none``: never. ``auto``: unless the estimator takes Arrow tables itself, or is
        or contains a Pipeline or a ColumnTransformer (in a search, a stack, a vote, or a transformed target).
    :param transformer: is put there instead, and replaces the preprocessing of a preset; None: the package's own is.
    :param params: parameters of the package's preprocessing, wherever it is; None: its own.
    :param unseen_level: whether rare levels, and those that training did not have, are a level of their own.
    :raises UserError: the mode is unknown, the estimator is a pipeline for texts, which cannot take a table, or there
        is no preprocessing to which the parameters could go.
    """
    if mode not in ("auto", "default", "none"):
        raise UserError(f"preprocessing={mode!r} is not one of 'auto', 'default', 'none'.")
    if transformer is not None:
        made = _replaced(estimator, transformer)
    elif isinstance(estimator, Pipeline) and isinstance(estimator.steps[0][1], TablePreprocessor):
        made = estimator
    else:
        made = _with_own(estimator, mode)
    if params and transformer is None:
        _the_packages(made, "preprocessing_params").set_params(**_checked(params))
    if unseen_level:
        preprocessor = _the_packages(made, "policies={'unseen_levels': 'level'}")
        if preprocessor.min_frequency is None:
            preprocessor.set_params(min_frequency=2)
    return made


def _replaced(estimator: Any, transformer: Any) -> Pipeline:
    """A Pipeline with a transformer before the estimator, or in place of the package's preprocessing."""
    if not hasattr(transformer, "transform"):
        raise UserError(f"preprocessing: {type(transformer).__name__} is no transformer: it has no transform().")
    first = ("preprocessing", transformer)
    if isinstance(estimator, Pipeline) and isinstance(estimator.steps[0][1], TablePreprocessor):
        return Pipeline([first, *estimator.steps[1:]])
    return Pipeline([first, ("estimator", clone(estimator, safe=False))])


def _the_packages(estimator: Any, what: str) -> TablePreprocessor:
    """The package's preprocessing in an estimator: the outermost one."""
    found = next((part for part in _parts(estimator) if isinstance(part, TablePreprocessor)), None)
    if found is None:
        raise UserError(
            f"{what} is for the package's preprocessing, and {type(estimator).__name__} has one of its own. Fix: set "
            "it there, or leave this out."
        )
    return found


def _checked(params: Mapping[str, Any]) -> dict[str, Any]:
    known = TablePreprocessor().get_params()
    if unknown := [name for name in params if name not in known]:
        told = " ".join(f"There is no {name!r}.{suggestion(name, known)}" for name in unknown)
        raise UserError(f"preprocessing_params: {told} There are {', '.join(known)}.")
    if faults := faults_of_params({**known, **params}):
        raise UserError(f"preprocessing_params: {' '.join(faults)}")
    return dict(params)


def _with_own(estimator: Any, mode: Preprocessing) -> Any:
    if mode == "none" or (mode == "auto" and any(map(_takes_tables, _parts(estimator)))):
        _check_takes_no_texts(estimator)
        return estimator
    return Pipeline([("preprocessing", _preprocessing_for(estimator)), ("estimator", clone(estimator, safe=False))])


def _preprocessing_for(estimator: Any) -> TablePreprocessor:
    core = _innermost(estimator)
    target = _target_of(estimator)
    if _takes_categories(estimator):
        return TablePreprocessor(categories="native", impute=None, scale=False, target=target)
    if _is_tree(core):
        impute: Any = None if _takes_nan(estimator) else "mean"
        return TablePreprocessor(categories="ordinal", impute=impute, scale=False, target=target)
    return TablePreprocessor(sparse="auto" if _input_tag(estimator, "sparse") else False, target=target)


def _target_of(estimator: Any) -> Literal["auto", "classes", "numbers"]:
    try:
        return "classes" if is_classifier(estimator) else "numbers" if is_regressor(estimator) else "auto"
    except AttributeError:  # an estimator from elsewhere, without tags
        return "auto"


def _takes_categories(estimator: Any) -> bool:
    """Whether an estimator is histogram gradient boosting that recognises pandas' categories, or hands it the table as
    it is.
    """
    if isinstance(estimator, BaseSearchCV | CalibratedClassifierCV) and estimator.estimator is not None:
        return _takes_categories(estimator.estimator)
    histograms = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    return isinstance(estimator, histograms) and isinstance(estimator.categorical_features, str)


def _takes_tables(part: Any) -> bool:
    return isinstance(part, Pipeline | ColumnTransformer | FeatureUnion) or getattr(part, "accepts_arrow", False)


def _parts(estimator: Any) -> Iterator[Any]:
    """The estimator and every estimator among its parameters, at any depth."""
    yield estimator
    if not hasattr(estimator, "get_params") or inspect.isclass(estimator):
        return
    with contextlib.suppress(Exception):  # if an estimator breaks scikit-learn's rules, fitting will fail
        yield from (value for value in estimator.get_params(deep=True).values() if hasattr(value, "fit"))


def _check_takes_no_texts(estimator: Any) -> None:
    """Refuse a first step that takes a list of texts: it would take a table's column names for its texts.

    :raises UserError: there is one.
    """
    for part in _first_parts(estimator):
        if isinstance(part, CountVectorizer | HashingVectorizer | DictVectorizer | FeatureHasher):
            name = type(part).__name__
            raise UserError(
                f"{name} is handed the whole table, a DataFrame, but takes one column of it. Fix: name the column, "
                f"ColumnTransformer([('text', {name}(), 'name_of_the_column')]), as the first step of the Pipeline."
            )


def _first_parts(estimator: Any) -> Iterator[Any]:
    """The estimators to which an estimator hands its input unchanged."""
    if isinstance(estimator, Pipeline):
        yield from _first_parts(next((step for _, step in estimator.steps if step not in (None, "passthrough")), None))
    elif isinstance(estimator, FeatureUnion):
        yield from (first for _, part in estimator.transformer_list for first in _first_parts(part))
    elif isinstance(getattr(estimator, "estimators", None), list):  # votes and stacks
        yield from (first for pair in estimator.estimators for first in _first_parts(pair[-1]))
    elif any(hasattr(inner := getattr(estimator, name, None), "fit") for name in ("estimator", "regressor")):
        yield from _first_parts(inner)
    else:
        yield estimator


def _innermost(estimator: Any) -> Any:
    """The estimator inside searches, calibration, bagging and forests: their parameter ``estimator``."""
    inner = getattr(estimator, "estimator", None)
    return _innermost(inner) if hasattr(inner, "fit") and not isinstance(estimator, Pipeline) else estimator


def _is_tree(estimator: Any) -> bool:
    """Whether an estimator is a tree, a forest or boosting, of scikit-learn or with its features (XGBoost,
    LightGBM).
    """
    histograms = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    return isinstance(estimator, (BaseDecisionTree, *histograms)) or hasattr(estimator, "max_depth")


def _takes_nan(estimator: Any) -> bool:
    # These two pass on their input without checking it, but their tags do not tell.
    if isinstance(estimator, BaseSearchCV | CalibratedClassifierCV) and estimator.estimator is not None:
        return _takes_nan(estimator.estimator)
    return _input_tag(estimator, "allow_nan")


def _input_tag(estimator: Any, name: str) -> bool:
    try:
        return bool(getattr(get_tags(estimator).input_tags, name))
    except AttributeError:  # an estimator from elsewhere, without tags
        return False


def _import_factory(path: str) -> Any:
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in f"{module_name}.{name}".split(".")):
        raise UserError(f"{path!r} names no factory: write it as 'package.module:callable'.")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UserError(
                f"The module {error.name!r} of the factory {path} is not installed here. Fix: install it where the "
                "jobs run (the worker's image, or LocalRuntime(python=...)), or put it on their PYTHONPATH."
            ) from None  # the traceback of the import would not help
        raise UserError(f"Importing {module_name!r} needs {error.name!r}, which is not installed here.") from error
    except Exception as error:
        raise UserError(f"Importing {module_name!r} raised {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            there = sorted(n for n, value in vars(found).items() if callable(value) and not n.startswith("_"))
            raise UserError(f"{module_name!r} has no {name!r}. It has {', '.join(there) or 'nothing to call'}.")
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"{path} is {type(found).__name__}, which can not be called: name a function or a class.")
    return found
