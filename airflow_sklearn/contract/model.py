"""The model manifest: one version of a model, and everything needed to use and to trust it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from airflow_sklearn.contract.data import SourceFiles, SourceObject
from airflow_sklearn.contract.document import Document, Later, Value
from airflow_sklearn.contract.explanation import ExplainedKind
from airflow_sklearn.contract.receipt import KeyHash, OutputPart
from airflow_sklearn.contract.schema import (
    LARGEST_BATCH,
    Column,
    Distribution,
    FeatureSchema,
    Method,
    OutputColumn,
    Scalar,
    Serializer,
)
from airflow_sklearn.contract.search import SearchResults
from airflow_sklearn.contract.tables import Snapshot
from airflow_sklearn.contract.train_settings import RecordedSettings

#: A value of ``sklearn.get_config()``.
JsonScalar = bool | int | float | str | None


class PresetEstimator(Value):
    """An estimator given by a preset's name."""

    kind: Literal["preset"] = "preset"
    name: str
    params: dict[str, Any] = {}
    """Parameters for ``set_params`` of the final estimator."""


class FactoryEstimator(Value):
    """An estimator given by a factory ``package.module:callable``.

    The worker imports it and calls it with ``params``; it returns an unfitted estimator.
    """

    kind: Literal["factory"] = "factory"
    path: str
    params: dict[str, Any] = {}


class PickledEstimator(Value):
    """An estimator given as an object, which the operator has stored unfitted."""

    kind: Literal["pickle"] = "pickle"
    uri: str
    sha256: str
    description: str = ""
    """A description for people."""
    content: Annotated[str, Later()] = ""
    """A digest of its classes and parameters. Unlike the pickle's bytes, it is equal in all processes."""
    sklearn_config: Annotated[dict[str, JsonScalar], Later()] = {}
    """The settings of ``sklearn.set_config`` that were changed in the DAG file."""


class RegisteredEstimator(Value):
    """An estimator that was fitted elsewhere, as a file that a person vouches for by its digest."""

    kind: Literal["registered"] = "registered"
    uri: str
    """The URI of the file, or of an MLflow model's folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file; of an MLflow model, of the file that holds the estimator. Nothing is loaded before it matches."""
    form: Literal["pickle", "skops", "mlflow"]
    """``pickle``: written by joblib, pickle or cloudpickle."""


#: An estimator that a job fits.
OneEstimatorSpec = Annotated[PresetEstimator | FactoryEstimator | PickledEstimator, Field(discriminator="kind")]


class SeveralEstimators(Value):
    """An estimator for each of several targets, such as a classifier and a regressor."""

    kind: Literal["several"] = "several"
    by_target: dict[str, OneEstimatorSpec]


EstimatorSpec = Annotated[
    PresetEstimator | FactoryEstimator | PickledEstimator | SeveralEstimators, Field(discriminator="kind")
]
#: What a version was made of.
VersionEstimator = Annotated[
    PresetEstimator | FactoryEstimator | PickledEstimator | SeveralEstimators | RegisteredEstimator,
    Field(discriminator="kind"),
]


class Artifact(Value):
    """The fitted estimator as a file."""

    uri: str
    sha256: str
    size: int = Field(ge=0)
    """Bytes."""
    serializer: Serializer = "joblib"


class Versions(Value):
    """The software that fitted the model."""

    python: str
    packages: dict[str, str]
    """Distribution name to version: scikit-learn, numpy, scipy, pandas, pyarrow, joblib, airflow-sklearn, and every
    package that a part of the estimator comes from."""
    estimator_packages: tuple[str, ...] = ()
    """Those of ``packages`` whose classes are inside the artifact: they must be the same version at prediction."""
    platform: str = ""
    processor: str = ""
    image: str = ""
    """The container image with its digest; empty: there was none."""


class ParitySample(Value):
    """Training rows and their predictions from right after fitting. Every worker that loads the model predicts them
    again.

    Rows and predictions are in a ``StoredParitySample``, not in the manifest. Only version 0.1.0 had them there.

    ``columns`` holds one list for each feature (K values, null as None, datetimes as ISO 8601), ``predictions`` one
    list for each output column, in the order of ``outputs``.
    """

    columns: dict[str, tuple[Scalar, ...]] = {}
    outputs: tuple[OutputColumn, ...] = ()
    predictions: tuple[tuple[Scalar, ...], ...] = ()
    processor: str = ""


class StoredParitySample(Document):
    """The rows and predictions of a parity sample, stored beside the artifact.

    They are an object of their own, so that a reader of the manifest need not be allowed to read training rows.
    """

    FORMAT = "airflow-sklearn/parity-sample"

    sample: ParitySample


class StoredObject(Value):
    """A stored object, with the size and the digest that it must have."""

    uri: str
    sha256: str
    size: int
    """Bytes."""


class TrainingSource(Value):
    """The exact data that the model was fitted on; of a registered model, the sample that it was checked on."""

    files: SourceFiles
    objects: tuple[SourceObject, ...]
    rows_read: int = Field(ge=0)
    rows_used: int = Field(ge=0)
    """The number of rows with a target; of a registered model, all."""
    snapshot: Snapshot | None = None
    """The snapshot to which the objects belong; None: the source is files."""


class OutOfSample(Value):
    """The out-of-sample scores: a prediction for each training row by the cross-validation model that did not see
    it.
    """

    parts: tuple[OutputPart, ...]
    """Parquet files. One after another they hold the rows that training used, in the source's order."""
    columns: tuple[Column, ...]
    """The parts' columns: the primary key, the target, the fold (from 1 on) that left the row out, the predictions."""
    rows: int = Field(ge=0)
    key_hash: KeyHash = KeyHash()
    method: Method
    """The method by which the models predicted."""


class Performance(Value):
    """Times and memory, measured after fitting on the machine that trained."""

    fit_seconds: float
    predict_rows_per_second: float
    peak_memory_bytes: int


class ModelManifest(RecordedSettings, Document):
    """One version of a model."""

    FORMAT = "airflow-sklearn/model-manifest"

    model: str
    """The model's URI; its versions lie below it."""
    version: str
    created_at: str
    """The time of training: ISO 8601, UTC."""
    estimator: VersionEstimator
    estimator_class: str
    artifact: Artifact
    feature_schema: FeatureSchema
    methods: tuple[Method, ...]
    """The methods of the fitted estimator that predictions can use."""
    batch_rows: int = Field(ge=1, le=LARGEST_BATCH)
    """Rows in a batch, for the parity sample and in prediction."""
    batch_shape: Annotated[Literal["fixed", "any"], Later()] = "fixed"
    """``fixed``: bits depend on the number of rows, so that each batch has exactly ``batch_rows``. ``any``: at most."""
    sklearn_config: Annotated[dict[str, JsonScalar], Later()] = {}
    """The changed settings of ``sklearn.set_config`` at fitting; prediction sets the same."""
    parity: ParitySample
    parity_object: Annotated[StoredObject | None, Later()] = None
    """The object with the parity sample's rows and predictions. None: they are in ``parity``."""
    source: TrainingSource
    columns: tuple[Column, ...] = ()
    """All columns of the training table. A passthrough column is read with the type here."""
    metrics: dict[str, float | None] = {}
    """Means over the folds of the cross-validation; empty: there was none."""
    metrics_std: dict[str, float | None] = {}
    unfit_columns: Annotated[dict[str, str], Later()] = {}
    """Columns that the check against the table that will be scored left out, with the reason. They are in
    ``excluded_columns`` too."""
    not_made: Annotated[dict[str, str], Later()] = {}
    """What failed after fitting, such as ``validation``, with the reason: the model was kept without it."""
    explained: Annotated[dict[str, ExplainedKind], Later()] = {}
    """By target, the kind of its estimator, if each row's score can be explained."""
    explanation_object: Annotated[StoredObject | None, Later()] = None
    """The object with coefficients and importances, a ``ModelExplanation``. None: a version that did not make one."""
    metrics_object: Annotated[StoredObject | None, Later()] = None
    """The object with all metrics, a ``ModelMetrics``. None: there was no validation."""
    cross_validation: int = Field(default=0, ge=0)
    """The number of folds; 0: no cross-validation."""
    search_results: Annotated[tuple[SearchResults, ...], Later()] = ()
    """What the search for parameters has found, for each target; empty: there was none."""
    out_of_sample: OutOfSample | None = None
    """None: no cross-validation."""
    score_percentiles: Annotated[dict[str, tuple[float, ...]], Later()] = {}
    """By output column, the 1st to the 99th percentile of the out-of-sample scores."""
    score_distributions: Annotated[dict[str, Distribution], Later()] = {}
    """By output column, the out-of-sample scores in bins, with which those of prediction runs are compared. A model
    without a target has the predictions of training rows instead."""
    thresholds: Annotated[dict[str, float], Later()] = {}
    """By target with two classes, the probability of the second class (or the decision value, of a model without
    probabilities) from which on a row is decided to be of it."""
    performance: Performance
    warnings: tuple[str, ...] = ()
    versions: Versions


class ModelPointer(Document):
    """``latest.json`` below a model's URI: the version that was trained last."""

    FORMAT = "airflow-sklearn/model-pointer"

    version: str
    manifest_uri: str
    manifest_sha256: str
