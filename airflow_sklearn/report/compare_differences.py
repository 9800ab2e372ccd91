"""In what compared models differ: settings, data, software, features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.report.formats import count, fixed, moment, share
from airflow_sklearn.report.words import estimator_name, params_text, validation_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.report.stored import ModelDocuments

_MOST_FEATURES = 500


@dataclass(frozen=True)
class Difference:
    """A property with its value in each model.

    :param is_same: whether all models have the same.
    """

    name: str
    values: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether all models have the same value."""
        return len(set(self.values)) == 1


def differences(models: Sequence[tuple[str, ModelManifest]]) -> list[Difference]:
    """The properties of the models; those in which they differ come first."""
    facts = [dict(_facts(manifest)) for _, manifest in models]
    names = dict.fromkeys(name for one in facts for name in one)
    found = [Difference(name, tuple(one.get(name, "–") or "–" for one in facts)) for name in names]
    return sorted((one for one in found if set(one.values) != {"–"}), key=lambda one: one.is_same)


def _facts(manifest: ModelManifest) -> Iterator[tuple[str, str]]:
    yield "Estimator", estimator_name(manifest)
    yield "Parameters", params_text(getattr(manifest.estimator, "params", {}))
    yield from ((f"Best parameters of {one.target}", params_text(one.best_params)) for one in manifest.search_results)
    yield "Trained", moment(manifest.created_at)
    yield "Rows", count(manifest.source.rows_used)
    yield "Source", ", ".join(manifest.source.files.uris[:3])
    yield "Features", count(len(manifest.feature_schema.features))
    yield "Not learned from", ", ".join(manifest.excluded_columns[:20])
    yield "Validation", validation_words(manifest.cross_validation, manifest.validation)
    yield "Weights", manifest.sample_weight or ""
    yield "Class weight", manifest.class_weight or ""
    yield "Calibration", manifest.calibration or ""
    yield "Threshold", ", ".join(f"{target}: {fixed(value)}" for target, value in manifest.thresholds.items())
    yield "Python", manifest.versions.python
    yield from sorted(manifest.versions.packages.items())
    yield "Image", manifest.versions.image
    yield "Machine", manifest.versions.processor


@dataclass(frozen=True)
class FeatureCells:
    """A feature with what each model says of it.

    :param cells: for each model its share of the importances (None: not known), and a remark.
    """

    name: str
    cells: tuple[tuple[float | None, str], ...]


def feature_table(models: Sequence[tuple[str, ModelDocuments]], target: str) -> list[FeatureCells]:
    """The features of all models, the most important ones first. Nulls are remarked on where they differ."""
    known = [{one.name: one for one in documents.manifest.feature_schema.features} for _, documents in models]
    importances = [_importances(documents, target) for _, documents in models]
    names = list(dict.fromkeys(name for one in known for name in one))
    names.sort(key=lambda name: -max(one.get(name, 0.0) for one in importances))
    rows = []
    for name in names[:_MOST_FEATURES]:
        rates = {share(one[name].null_rate) for one in known if name in one}
        cells = []
        for features, values in zip(known, importances, strict=True):
            remark = "" if name in features else "not a feature"
            if name in features and len(rates) > 1:
                remark = f"{share(features[name].null_rate)} nulls"
            cells.append((values.get(name, 0.0) if values and name in features else None, remark))
        rows.append(FeatureCells(name, tuple(cells)))
    return rows


def _importances(documents: ModelDocuments, target: str) -> Mapping[str, float]:
    """By feature its share of all importances; empty: they are not known."""
    targets = documents.explanation.targets if documents.explanation else ()
    found = next((one for one in targets if one.target == target), None)
    positive = {one.feature: max(0.0, one.value) for one in found.importances} if found else {}
    total = sum(positive.values())
    return {name: value / total for name, value in positive.items()} if total > 0 else {}
