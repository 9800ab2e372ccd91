"""Train scikit-learn models, and predict tables of any size, from Airflow.

Public names are imported when they are first used. Airflow imports provider packages before it is configured, and the
scheduler parses DAG files all the time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_sklearn.contract.search import Search
    from airflow_sklearn.contract.validation import GroupFolds, HeldOut, TimeFolds
    from airflow_sklearn.contract.will_score import WillScore
    from airflow_sklearn.datasets.files import Dataset
    from airflow_sklearn.datasets.redshift.tables import RedshiftDataApi, RedshiftQuery, RedshiftTable
    from airflow_sklearn.operators.commit import SklearnCommitOperator
    from airflow_sklearn.operators.compare import SklearnCompareOperator
    from airflow_sklearn.operators.plan import SklearnPlanOperator
    from airflow_sklearn.operators.predict import SklearnPredictOperator
    from airflow_sklearn.operators.reap import SklearnReapOperator
    from airflow_sklearn.operators.register import SklearnRegisterOperator
    from airflow_sklearn.operators.train import SklearnTrainOperator
    from airflow_sklearn.runtimes.base import Runtime
    from airflow_sklearn.runtimes.ec2 import Ec2Runtime
    from airflow_sklearn.runtimes.ecs import EcsRuntime
    from airflow_sklearn.runtimes.local.runtime import LocalRuntime
    from airflow_sklearn.task_groups import sklearn_predict

__version__ = "0.2.0.dev0"

__all__ = [
    "Dataset",
    "Ec2Runtime",
    "EcsRuntime",
    "GroupFolds",
    "HeldOut",
    "LocalRuntime",
    "RedshiftDataApi",
    "RedshiftQuery",
    "RedshiftTable",
    "Runtime",
    "Search",
    "SklearnCommitOperator",
    "SklearnCompareOperator",
    "SklearnPlanOperator",
    "SklearnPredictOperator",
    "SklearnReapOperator",
    "SklearnRegisterOperator",
    "SklearnTrainOperator",
    "TimeFolds",
    "WillScore",
    "__version__",
    "sklearn_predict",
]

_MODULES = {
    "Search": "contract.search",
    "Dataset": "datasets.files",
    "Ec2Runtime": "runtimes.ec2",
    "EcsRuntime": "runtimes.ecs",
    "GroupFolds": "contract.validation",
    "HeldOut": "contract.validation",
    "LocalRuntime": "runtimes.local",
    "RedshiftDataApi": "datasets.redshift.tables",
    "RedshiftQuery": "datasets.redshift.tables",
    "RedshiftTable": "datasets.redshift.tables",
    "Runtime": "runtimes.base",
    "SklearnCommitOperator": "operators.commit",
    "SklearnCompareOperator": "operators.compare",
    "SklearnPlanOperator": "operators.plan",
    "SklearnPredictOperator": "operators.predict",
    "SklearnReapOperator": "operators.reap",
    "SklearnRegisterOperator": "operators.register",
    "SklearnTrainOperator": "operators.train",
    "TimeFolds": "contract.validation",
    "WillScore": "contract.will_score",
    "sklearn_predict": "task_groups",
}


#: Commands of earlier versions: ``python -m airflow_sklearn.iam`` and ``.reaper``.
__path__.append(f"{__path__[0]}/moved")


def __getattr__(name: str) -> Any:
    try:
        module = _MODULES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
