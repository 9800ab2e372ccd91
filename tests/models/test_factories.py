from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.factories import load_factory, with_preprocessing
from airflow_sklearn.models.preprocessing import TablePreprocessor
from airflow_sklearn.models.presets import build_preset

MODULE = """
from sklearn.linear_model import Ridge
LIMIT = 3
def ridge(alpha=1.0):
    return Ridge(alpha=alpha)
def nothing():
    return None
def a_class():
    return Ridge
def broken():
    raise KeyError("no such column")
class Named:
    @staticmethod
    def build():
        return Ridge()
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user_models.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "user_needs.py").write_text("import not_installed_anywhere")
    (tmp_path / "user_fails.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_factory_is_called_with_its_parameters() -> None:
    assert load_factory("user_models:ridge", {"alpha": 2.5}).alpha == 2.5


def test_a_factory_may_be_a_class_or_nested() -> None:
    assert load_factory("sklearn.linear_model:Ridge", {"alpha": 3}).alpha == 3
    assert load_factory("user_models:Named.build").alpha == 1.0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("user_models", "package.module:callable"),
        ("user models:ridge", "package.module:callable"),
        ("user_model:ridge", "'user_model'.*not installed here.*image"),
        ("user_models.deeper:ridge", r"'user_models.deeper'.*not installed here"),
        ("user_needs:ridge", "needs 'not_installed_anywhere'"),
        ("user_fails:ridge", "ZeroDivisionError"),
        ("user_models:lasso", "has no 'lasso'.*ridge"),
        ("user_models:LIMIT", "can not be called"),
        ("user_models:broken", "KeyError.*no such column"),
        ("user_models:nothing", "NoneType.*no fit"),
        ("user_models:a_class", "class Ridge"),
    ],
)
def test_what_is_wrong_with_a_factory_is_said(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_factory(path)


def test_an_unknown_parameter_of_a_factory_is_named() -> None:
    with pytest.raises(UserError, match=r"TypeError.*'beta'"):
        load_factory("user_models:ridge", {"beta": 1})


ESTIMATORS: list[Any] = [
    LogisticRegression(max_iter=500),
    LinearDiscriminantAnalysis(),
    GaussianNB(),
    KNeighborsClassifier(),
    SVC(),
    MLPClassifier((5,), learning_rate_init=0.01, random_state=0),
    DecisionTreeClassifier(max_depth=4),
    RandomForestClassifier(10, random_state=0),
    ExtraTreesClassifier(10, random_state=0),
    GradientBoostingClassifier(n_estimators=5, random_state=0),
    HistGradientBoostingClassifier(max_iter=5),
    AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=5),
    AdaBoostClassifier(n_estimators=5),
    BaggingClassifier(HistGradientBoostingClassifier(max_iter=5), n_estimators=2, random_state=0),
    CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=5), cv=2),
    CalibratedClassifierCV(GaussianNB(), cv=2),
    GridSearchCV(HistGradientBoostingClassifier(max_iter=5), {"max_depth": [2, 3]}, cv=2),
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1]}, cv=2),
    StackingClassifier([("tree", RandomForestClassifier(5, random_state=0)), ("bayes", GaussianNB())], cv=2),
    VotingClassifier(
        [("linear", LogisticRegression(max_iter=500)), ("boost", HistGradientBoostingClassifier(max_iter=5))]
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: str(estimator)[:60])
def test_any_estimator_takes_a_real_table_with_the_preprocessing(
    estimator: Any, table: pa.Table, labels: np.ndarray
) -> None:
    fitted = with_preprocessing(estimator).fit(table, labels)
    assert fitted.score(table, labels) > 0.6


def preprocessing_of(estimator: Any) -> TablePreprocessor:
    return with_preprocessing(estimator).steps[0][1]


def test_trees_get_ordinal_categories_and_others_indicators() -> None:
    found = preprocessing_of(GridSearchCV(HistGradientBoostingClassifier(), {}))
    assert (found.categories, found.impute) == ("native", None)
    assert preprocessing_of(BaggingClassifier(HistGradientBoostingClassifier())).categories == "ordinal"
    assert preprocessing_of(GradientBoostingClassifier()).impute == "mean"
    assert preprocessing_of(LogisticRegression()).categories == "onehot"


def test_dense_matrices_go_to_those_that_take_no_other() -> None:
    assert preprocessing_of(GaussianNB()).sparse is False
    assert preprocessing_of(LogisticRegression()).sparse == "auto"


def test_auto_leaves_pipelines_alone() -> None:
    pipeline = make_pipeline(GaussianNB())
    search = GridSearchCV(pipeline, {})
    assert with_preprocessing(pipeline, "auto") is pipeline
    assert with_preprocessing(search, "auto") is search
    assert isinstance(preprocessing_of_default(pipeline), TablePreprocessor)


def preprocessing_of_default(estimator: Any) -> Any:
    return with_preprocessing(estimator, "default").steps[0][1]


def test_none_leaves_everything_alone() -> None:
    estimator = GaussianNB()
    assert with_preprocessing(estimator, "none") is estimator


def test_the_users_estimator_is_never_fitted_in_place(table: pa.Table, labels: np.ndarray) -> None:
    estimator = GaussianNB()
    with_preprocessing(estimator).fit(table, labels)
    assert not hasattr(estimator, "classes_")


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match="'maybe'"):
        with_preprocessing(GaussianNB(), "maybe")  # type: ignore[arg-type]


def _chooses_by_name(last: Any) -> Any:
    return make_pipeline(make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough"), last)


@pytest.mark.parametrize(
    "estimator",
    [
        TransformedTargetRegressor(_chooses_by_name(Ridge()), func=np.log, inverse_func=np.exp),
        VotingClassifier([("a", _chooses_by_name(LogisticRegression()))], voting="soft"),
        StackingClassifier([("a", _chooses_by_name(LogisticRegression())), ("b", _chooses_by_name(GaussianNB()))]),
        GridSearchCV(VotingClassifier([("a", _chooses_by_name(LogisticRegression()))]), {"voting": ["soft"]}),
        CalibratedClassifierCV(_chooses_by_name(LogisticRegression())),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_wrapper_around_pipelines_is_left_as_it_is(estimator: Any) -> None:
    assert with_preprocessing(estimator) is estimator


def test_a_wrapper_around_an_estimator_alone_gets_the_preprocessing() -> None:
    assert with_preprocessing(TransformedTargetRegressor(Ridge())).steps[0][0] == "preprocessing"


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(TfidfVectorizer(), LogisticRegression()),
        make_pipeline("passthrough", HashingVectorizer(), LogisticRegression()),
        make_pipeline(FeatureUnion([("words", CountVectorizer()), ("texts", TfidfVectorizer())]), LogisticRegression()),
        GridSearchCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), {}),
        VotingClassifier([("a", make_pipeline(TfidfVectorizer(), LogisticRegression()))]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_pipeline_of_texts_is_told_how_to_choose_its_column(estimator: Any) -> None:
    with pytest.raises(UserError, match=r"takes one column.*Fix: .*ColumnTransformer\(\[\('text'"):
        with_preprocessing(estimator)


def test_texts_of_a_named_column_are_let_pass() -> None:
    estimator = make_pipeline(make_column_transformer((TfidfVectorizer(), "text")), LogisticRegression())
    assert with_preprocessing(estimator) is estimator


def test_a_transformer_replaces_the_preprocessing_of_presets_and_of_others() -> None:
    transformer = FunctionTransformer()
    found = with_preprocessing(build_preset("sparse_logistic"), transformer=transformer)
    assert found.steps[0] == ("preprocessing", transformer)
    assert [name for name, _ in found.steps] == ["preprocessing", "selection", "estimator"]
    assert [name for name, _ in with_preprocessing(GaussianNB(), transformer=transformer).steps] == [
        "preprocessing",
        "estimator",
    ]
    with pytest.raises(UserError, match="Ridge is no transformer"):
        with_preprocessing(GaussianNB(), transformer=Ridge())


def test_a_preset_keeps_its_preprocessing_whatever_the_mode() -> None:
    preset = build_preset("sparse_logistic")
    assert with_preprocessing(preset, "default") is preset


def test_parameters_reach_the_preprocessing_wherever_it_is() -> None:
    params = {"max_levels": 7}
    for estimator in (GaussianNB(), build_preset("best_classifier"), GridSearchCV(build_preset("sparse_logistic"), {})):
        made = with_preprocessing(estimator, params=params)
        parameters = made.get_params()
        assert parameters[min((name for name in parameters if name.endswith("__max_levels")), key=len)] == 7
    with pytest.raises(UserError, match=r"There is no 'max_level'. Did you mean 'max_levels'\?"):
        with_preprocessing(GaussianNB(), params={"max_level": 7})
    wrong = {"encoder": "targt", "max_levels": 0, "impute": "mode", "min_frequency": -1, "date_parts": ["yeer"]}
    with pytest.raises(UserError, match=r"Did you mean 'target'.*impute.*min_frequency.*max_levels=0.*mean 'year'"):
        with_preprocessing(GaussianNB(), params=wrong)
    with pytest.raises(UserError, match="preprocessing_params is for the package's preprocessing"):
        with_preprocessing(make_pipeline(GaussianNB()), params=params)


def test_a_level_for_unseen_values_is_made_of_levels_with_one_row_unless_told_otherwise() -> None:
    assert with_preprocessing(GaussianNB(), unseen_level=True)[0].min_frequency == 2
    assert with_preprocessing(GaussianNB(), params={"min_frequency": 9}, unseen_level=True)[0].min_frequency == 9
    with pytest.raises(UserError, match=r"'level'.*preprocessing"):
        with_preprocessing(make_pipeline(GaussianNB()), unseen_level=True)
