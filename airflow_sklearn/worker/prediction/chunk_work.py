"""The work of each predicting process. Only after the fork does an estimator predict, never before it."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.system.sklearn_config import configured
from airflow_sklearn.system.stacks import offer_stack
from airflow_sklearn.system.threads import users_code
from airflow_sklearn.worker.artifact import open_estimator
from airflow_sklearn.worker.parity import replay
from airflow_sklearn.worker.prediction.slices import SlicePredictor, SliceResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.explanation import TargetExplanation
    from airflow_sklearn.contract.jobs import PredictJob
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.plan import Piece
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.prediction.progress import Progress


@dataclass
class ChunkWork:
    """Predicts slices of a chunk. It is called with a slice's number, in the process that predicts it.

    :param artifact: the local copy of the artifact.
    :param groups: the pieces of each slice.
    :param scratch: a local folder.
    :param estimator: the estimator, loaded before a fork; None in a spawned process, which loads its own.
    :param explanations: those of the targets, for columns of reasons.
    """

    storage: Storage
    job: PredictJob
    manifest: ModelManifest
    artifact: str
    groups: Sequence[Sequence[Piece]]
    scratch: str
    progress: Progress
    estimator: Any
    explanations: Sequence[TargetExplanation] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "estimator": None}

    def __call__(self, number: int) -> SliceResult:
        """Predict the slice with this number."""
        if multiprocessing.parent_process() is not None:
            offer_stack(self.scratch)
        with configured(self.manifest.sklearn_config), users_code():
            estimator = self.estimator
            if estimator is None:
                estimator = open_estimator(self.artifact, self.manifest.artifact, self.job.spec.trusted_types)
            parity = replay(estimator, self.manifest, self.job.spec.outputs)
            predictor = SlicePredictor(
                self.storage,
                self.job,
                self.manifest,
                estimator,
                Ledger(self.storage, self.job.ledger),
                self.scratch,
                lambda rows, size: self.progress.advance(number, rows, size),
                self.explanations,
            )
            result = predictor.run(self.groups[number], f"slice-{number}")
        result.parity = parity
        return result
