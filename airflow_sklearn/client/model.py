"""One version of a model, as an object for notebooks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from airflow_sklearn.client.rows import as_files, column_names_of, is_table, read_parts
from airflow_sklearn.client.scoring import asked_of, run_chunk
from airflow_sklearn.contract.arguments import column_names
from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.explanation import ModelExplanation
from airflow_sklearn.contract.faults import either
from airflow_sklearn.contract.jobs import PredictJob
from airflow_sklearn.contract.metrics import ModelMetrics
from airflow_sklearn.datasets.planning import make_plan
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.arrays import final_input
from airflow_sklearn.models.outputs import estimator_of
from airflow_sklearn.runs.ledger import Ledger
from airflow_sklearn.runs.model_store import resolve_model
from airflow_sklearn.storage import Storage
from airflow_sklearn.storage.uris import place_uri
from airflow_sklearn.system.sklearn_config import configured
from airflow_sklearn.system.software import check_versions, threads_limited
from airflow_sklearn.worker.artifact import load_estimator
from airflow_sklearn.worker.parity import filler_of, replay, with_sample
from airflow_sklearn.worker.prediction.features import read_features
from airflow_sklearn.worker.skops_files import from_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.explanation import TargetExplanation
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.schema import Feature


def load(model: str | Mapping[str, Any], *, storage: Storage | None = None) -> Model:
    """Load a model. The estimator itself is loaded when it is first used.

    :param model: a model's URI or path (its latest version), a manifest's URI, or the result of a task that trained.
    :param storage: access to the URIs; None: with the environment's credentials.
    :raises ObjectNotFoundError: there is no such model.
    """
    storage = storage or Storage()
    found = model if isinstance(model, Mapping) else place_uri(model)
    return Model(storage, *resolve_model(storage, found))


class Model:
    """One version of a model. ``load``, ``train`` and ``register`` make it.

    :param storage: where the model is.
    :param manifest: its manifest.
    :param uri: the manifest's URI.
    :param sha256: the digest of the manifest.
    """

    def __init__(self, storage: Storage, manifest: ModelManifest, uri: str, sha256: str) -> None:
        self.manifest, self.uri, self.sha256, self._storage = manifest, uri, sha256, storage

    def __repr__(self) -> str:
        """The class of the estimator, and where it is."""
        return f"Model({self.manifest.estimator_class}, {self.uri!r})"

    @cached_property
    def estimator(self) -> Any:
        """The fitted estimator. Its digest, the versions of packages and the parity sample are checked first.

        :raises BrokenEnvironmentError: one of these differs from training.
        """
        check_versions(self.manifest.versions, self.manifest.feature_schema.policies.version_mismatch)
        self._scratch = tempfile.TemporaryDirectory(prefix="airflow-sklearn-client-")  # arrays are mapped from it
        estimator = load_estimator(self._storage, self.manifest.artifact, self._scratch.name, from_environment())
        manifest = with_sample(self._storage, self.manifest)
        with configured(self.manifest.sklearn_config):
            replay(estimator, manifest, manifest.parity.outputs)
        return estimator

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features, in the order in which the estimator takes them, with what training knew of each."""
        return self.manifest.feature_schema.features

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the out-of-sample rows by name; of several targets, by target. Empty: there was no
        validation.
        """
        stored = self.manifest.metrics_object
        if stored is None:
            return dict(self.manifest.metrics)
        found = ModelMetrics.from_json(self._storage.read(stored.uri), where=stored.uri).targets
        return dict(found[0].values) if len(found) == 1 else {one.target: dict(one.values) for one in found}

    @property
    def explanation(self) -> tuple[TargetExplanation, ...]:
        """Coefficients, importances and used features, by target.

        :raises UserError: there is no explanation: the model has no target, or it could not be made.
        """
        stored = self.manifest.explanation_object
        if stored is None:
            why = self.manifest.not_made.get("explanation", "it was made by an earlier version, or without a target")
            raise UserError(f"The model has no explanation: {why}.")
        return ModelExplanation.from_json(self._storage.read(stored.uri), where=stored.uri).targets

    @property
    def out_of_sample(self) -> pd.DataFrame:
        """The out-of-sample scores: key, target, fold and predictions of each training row.

        :raises UserError: there was no validation.
        """
        scores = self.manifest.out_of_sample
        if scores is None:
            raise UserError("The model has no out-of-sample scores: it was trained without a validation.")
        return read_parts(self._storage, [part.uri for part in scores.parts])

    def predict(
        self,
        rows: Any,
        *,
        method: str = "auto",
        outputs: str | Sequence[str] = (),
        targets: str | Sequence[str] = (),
        explain: int = 0,
        primary_key: str | Sequence[str] | None = None,
        passthrough: str | Sequence[str] = (),
        policies: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Predict rows as a container would, in this process. Nothing is stored.

        :param rows: a DataFrame, a pyarrow Table, or files. The index of a DataFrame is that of the result, unless rows
            are set aside.
        :param primary_key: columns that identify a row; None: those of training, as far as the rows have them.

        The other parameters are those of ``SklearnPlanOperator``.

        :raises UserError: the request contradicts the model or the rows; the message lists all contradictions.
        :raises DataError: rows violate a policy; the error carries all problems.
        """
        with tempfile.TemporaryDirectory(prefix="airflow-sklearn-client-") as folder:
            key = self._key(rows, primary_key)
            asked = asked_of(method, outputs, targets, explain, key, passthrough, policies)
            plan, uri = self._plan(rows, folder, **asked)
            for chunk in plan.chunks:
                run_chunk(self._storage, plan, uri, chunk)
            receipts = Ledger(self._storage, plan.ledger).read_receipts(plan)
            parts = [part.uri for chunk in plan.chunks for part in receipts[chunk.id].parts]
            found = read_parts(self._storage, parts)
        if isinstance(rows, pd.DataFrame) and len(rows) == len(found):
            found.index = rows.index
        return found

    def transform(self, rows: Any, *, target: str = "", policies: Mapping[str, str] | None = None) -> Any:
        """The exact arrays that the last step of the model gets for rows.

        :param rows: a DataFrame, a pyarrow Table, or files.
        :param target: the target whose last step it is, in a model with several.
        :param policies: values that override the model's policies, by name.
        :return: an array, a sparse matrix or a DataFrame, of shape (rows, columns).
        :raises DataError: rows cannot be read; the error carries all problems.
        """
        with tempfile.TemporaryDirectory(prefix="airflow-sklearn-client-") as folder:
            plan, _ = self._plan(rows, folder, primary_key=(), policies=policies)
            manifest = with_sample(self._storage, self.manifest)
            tables = [read_features(self._storage, _job(plan, n), manifest) for n in range(len(plan.chunks))]
        with configured(manifest.sklearn_config), threads_limited(1):
            estimator, filler = self._estimator_of(target), filler_of(manifest)
            table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
            return final_input(estimator, table, self.features, manifest.batch_rows, filler)

    def _estimator_of(self, target: str) -> Any:
        """The estimator of a target; of one target, the model itself."""
        known = [one.name for one in self.manifest.feature_schema.targets]
        if target not in known and (target or len(known) > 1):
            raise UserError(f"target={target!r}: name one of the model's targets, {either(known)}.")
        return estimator_of(self.estimator, target if len(known) > 1 else "")

    def _plan(self, rows: Any, folder: str, **asked: Any) -> tuple[Plan, str]:
        return make_plan(
            self._storage,
            source=as_files(self._storage, rows, f"file://{folder}/rows"),
            destination=OutputFiles(uri=f"file://{folder}/predictions"),
            partition="all",
            model={"manifest_uri": self.uri, "manifest_sha256": self.sha256},
            chunk_size=2**62,  # one chunk
            trusted_types=from_environment(),
            **asked,
        )

    def _key(self, rows: Any, asked: str | Sequence[str] | None) -> tuple[str, ...] | None:
        if asked is not None:
            return column_names(asked)
        trained = [column.name for column in self.manifest.feature_schema.primary_key]
        if is_table(rows) and not set(trained) <= set(column_names_of(rows)):
            return ()
        return None


def _job(plan: Plan, number: int) -> PredictJob:
    return PredictJob(
        result_uri="", spec=plan.spec, fingerprint=plan.fingerprint, ledger=plan.ledger, chunk=plan.chunks[number]
    )
