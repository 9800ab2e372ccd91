"""Comparing models by a metric of their out-of-sample rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.metrics import LOWER_IS_BETTER, MAIN_METRIC, Interval, ModelMetrics
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.runs.model_store import resolve_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.contract.metrics import TargetMetrics
    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.storage import Storage


@dataclass(frozen=True)
class RankedModel:
    """One model of a leaderboard.

    :param estimator: the preset's name, the factory, or a description of the object.
    :param model: as the result of ``SklearnTrainOperator``, which prediction takes as its ``model``.
    :param value: the metric; None: the rows or the estimator do not allow it.
    :param low: the lower end of its confidence interval; None: there is none.
    :param high: the upper end.
    :param fit_seconds: the time of fitting on all rows.
    """

    estimator: str
    model: dict[str, Any]
    value: float | None
    low: float | None
    high: float | None
    fit_seconds: float


@dataclass(frozen=True)
class Leaderboard:
    """Models from the best to the worst. ``str`` gives a table for people.

    :param metric: the metric's name.
    :param target: the target that is predicted.
    :param confidence: the share of resamples within an interval.
    :param models: the models; those without the metric are the last ones.
    :param warnings: reasons why the comparison may be unfair.
    """

    metric: str
    target: str
    confidence: float
    models: tuple[RankedModel, ...]
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> RankedModel:
        """The first model."""
        return self.models[0]

    def __str__(self) -> str:
        """A line for each model: its rank, estimator, metric with interval, and time of fitting."""
        width = max(len(one.estimator) for one in self.models)
        way = "lower" if self.metric in LOWER_IS_BETTER else "higher"
        first = f"{self.metric} of {self.target!r}, {way} is better, with {self.confidence:.0%} intervals:"
        return "\n".join([first, *self._lines(width), *(f"Warning: {text}" for text in self.warnings)])

    def _lines(self, width: int) -> Iterator[str]:
        for rank, one in enumerate(self.models, start=1):
            value = "       -" if one.value is None else f"{one.value:8.4f}"
            interval = "" if one.low is None or one.high is None else f"[{one.low:.4f}, {one.high:.4f}]"
            near = "  within the first one's interval" if rank > 1 and self._is_near(one) else ""
            yield f"{rank:3d}. {one.estimator:{width}} {value}  {interval:20}  fitted in {one.fit_seconds:.1f} s{near}"

    def _is_near(self, one: RankedModel) -> bool:
        low, high = self.best.low, self.best.high
        return None not in (one.value, low, high) and low <= one.value <= high  # type: ignore[operator]


def leaderboard(
    storage: Storage, models: Sequence[str | Mapping[str, Any]], *, metric: str | None = None, target: str = ""
) -> Leaderboard:
    """Compare models of the same target.

    :param models: URIs of models, or results of tasks that have trained them.
    :param metric: a metric that is a number, by its name in ``metrics.json``; None: ``roc_auc`` of two classes,
        ``roc_auc_macroavg`` of several, ``r_squared`` of numbers.
    :param target: the target to compare; empty: the models' only one.
    :raises UserError: a model has no metrics, another target or other classes, or there is no such metric; the message
        lists all faults.
    """
    if not models:
        raise UserError("A leaderboard needs models, and there is none.")
    read = [_read(storage, model, target) for model in models]
    faults = [fault for one in read if (fault := _fault(one, read[0], target))]
    name = metric or (MAIN_METRIC[read[0].target.task] if read[0].target else "")
    if not faults:
        faults = [fault for one in read if one.target and (fault := _metric_fault(one.uri, one.target, name))]
    if faults:
        raise UserError("These models cannot be compared:" + "".join(f"\n  - {fault}." for fault in faults))
    ranked = [_ranked(one, one.target, name) for one in read if one.target]
    sign = 1 if name in LOWER_IS_BETTER else -1
    ranked.sort(key=lambda one: (one.value is None, sign * (one.value or 0.0)))
    scored = read[0].target.target if read[0].target else target
    return Leaderboard(name, scored, read[0].confidence, tuple(ranked), tuple(_unfair([one.manifest for one in read])))


@dataclass(frozen=True)
class _Read:
    """A model's manifest, and the metrics of the compared target; None: there are none."""

    manifest: ModelManifest
    uri: str
    sha256: str
    target: TargetMetrics | None
    others: tuple[str, ...] = ()
    confidence: float = 0.0


def _read(storage: Storage, model: str | Mapping[str, Any], target: str) -> _Read:
    manifest, uri, sha256 = resolve_model(storage, model)
    stored = manifest.metrics_object
    if stored is None:
        return _Read(manifest, uri, sha256, None)
    metrics = ModelMetrics.from_json(storage.read(stored.uri), where=stored.uri)
    names = tuple(one.target for one in metrics.targets)
    if not target and len(names) > 1:
        raise UserError(
            f"{uri} has several targets: {', '.join(map(repr, names))}. Fix: name one, target={names[0]!r}."
        )
    found = next((one for one in metrics.targets if target in ("", one.target)), None)
    return _Read(manifest, uri, sha256, found, names, metrics.confidence)


def _fault(one: _Read, first: _Read, target: str) -> str:
    """Why a model cannot be compared with the first one; empty: it can."""
    if one.target is None and one.others:
        return f"{one.uri} has no target {target!r}.{suggestion(target, one.others)} It has {', '.join(one.others)}"
    if one.target is None:
        reason = one.manifest.not_made.get("validation") or one.manifest.not_made.get("metrics")
        return f"{one.uri} has no metrics, because {reason or 'it was trained without a validation'}"
    known = first.target
    if known and (one.target.target, one.target.classes) != (known.target, known.classes):
        return f"{one.uri} predicts {_said(one.target)}, and the first one predicts {_said(known)}"
    return ""


def _said(target: TargetMetrics) -> str:
    return f"{target.target!r} ({len(target.classes)} classes)" if target.classes else f"{target.target!r} (numbers)"


def _metric_fault(uri: str, target: TargetMetrics, name: str) -> str:
    known = [key for key, interval in target.intervals.items() if isinstance(interval, Interval)]
    if name in known:
        return ""
    return f"{uri} has no metric {name!r} that is one number.{suggestion(name, known)} It has {', '.join(known)}"


def _ranked(one: _Read, target: TargetMetrics, name: str) -> RankedModel:
    manifest, value, interval = one.manifest, target.values.get(name), target.intervals[name]
    result = {
        "model": manifest.model,
        "version": manifest.version,
        "manifest_uri": one.uri,
        "manifest_sha256": one.sha256,
        "metrics": dict(manifest.metrics),
        "rows": manifest.source.rows_used,
        "reused": True,
    }
    number = float(value) if isinstance(value, int | float) else None
    low, high = (interval.low, interval.high) if isinstance(interval, Interval) else (None, None)
    estimator = estimator_of(manifest, target.target)
    return RankedModel(estimator, result, number, low, high, manifest.performance.fit_seconds)


def estimator_of(manifest: ModelManifest, target: str) -> str:
    """What ``SklearnTrainOperator`` takes as ``estimator``; of an object, its class.

    :param target: of several estimators, the one of this target is meant.
    """
    spec = manifest.estimator
    if spec.kind == "several":
        spec = spec.by_target[target]
    if spec.kind == "preset":
        return spec.name
    return spec.path if spec.kind == "factory" else manifest.estimator_class


def _unfair(manifests: Sequence[ModelManifest]) -> Iterator[str]:
    """Reasons why metrics are not those of the same rows."""
    if len({repr(one.out_of_sample and (one.out_of_sample.rows, one.out_of_sample.key_hash)) for one in manifests}) > 1:
        yield "the models were scored on different rows."
    if len({(one.cross_validation, repr(one.validation)) for one in manifests}) > 1:
        yield "the models were validated in different ways."
