"""The charts of how well a model predicts one target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_sklearn.report import charts
from airflow_sklearn.report.charts import COLOURS, Legend, Series, line_chart, line_legend
from airflow_sklearn.report.formats import brief, clipped, fixed, share
from airflow_sklearn.report.model_quality import as_number, at, numbers_of
from airflow_sklearn.report.svg import Axis, rounded
from airflow_sklearn.report.words import label

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

    from airflow_sklearn.contract.metrics import TargetMetrics

_MOST_CONFUSED = 20  # classes of a confusion matrix
_TENTHS = [str(number) for number in range(1, 11)]


@dataclass(frozen=True)
class Figure:
    """A chart with its caption, for ``parts.figure``."""

    title: str
    picture: Markup
    sub: str = ""
    legend: Legend = field(default_factory=list)


def figures(target: TargetMetrics, threshold: float | None = None) -> list[Figure]:
    """The charts of a target, as far as its metrics are known.

    :param threshold: the score from which the positive class is predicted; None: the estimator decides.
    """
    if target.task == "regression":
        return list(_regression(target))
    return list(_binary(target, threshold) if target.task == "binary" else _multiclass(target))


def roc_figure(curves: Mapping[str, Mapping[str, Any]], sub: str = "") -> Figure:
    """ROC curves by name."""
    series = [Series(name, *points_of(one, "fpr", "tpr")) for name, one in curves.items()]
    axes = Axis("false positive rate"), Axis("true positive rate")
    picture = line_chart(series, *axes, "ROC curve", reference=[(0, 0), (1, 1)])
    return Figure("ROC curve", picture, sub, _legend(list(curves), "by chance"))


def precision_recall_figure(curves: Mapping[str, Mapping[str, Any]], incidence: float | None, sub: str = "") -> Figure:
    """Precision-recall curves by name.

    :param incidence: the share of positive rows, which is the precision by chance; None: not shown.
    """
    series = [Series(name, *points_of(one, "recall", "precision")) for name, one in curves.items()]
    reference = [] if incidence is None else [(0, incidence), (1, incidence)]
    picture = line_chart(series, Axis("recall"), Axis("precision"), "Precision-recall curve", reference=reference)
    return Figure("Precision and recall", picture, sub, _legend(list(curves), "by chance" if reference else ""))


def calibration_figure(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Calibration curves by name."""
    series = [Series(name, *points_of(one, "predicted", "observed"), dots=True) for name, one in curves.items()]
    axes = Axis("predicted probability", shown=_percent), Axis("observed share", shown=_percent)
    picture = line_chart(series, *axes, "Calibration", reference=[(0, 0), (1, 1)])
    sub = "Of rows with a probability near 30%, are 30% positive?"
    return Figure("Calibration", picture, sub, _legend(list(curves), "perfectly calibrated"))


def _binary(target: TargetMetrics, threshold: float | None) -> Iterator[Figure]:
    values, names = _values(target), [label(value) for value in target.classes]
    incidence = at(numbers_of(target, "pop_incidence_true"), 1)
    positive = names[-1] if names else "positive"
    if isinstance(curve := values.get("roc_curve"), dict):
        yield roc_figure({positive: curve}, f"Area {fixed(as_number(values.get('roc_auc')))}")
    if isinstance(curve := values.get("precision_recall_curve"), dict):
        area = fixed(as_number(values.get("average_precision")))
        yield precision_recall_figure({positive: curve}, incidence, f"Average precision {area}")
    if isinstance(curve := values.get("calibration_curve"), dict):
        yield calibration_figure({positive: curve})
    if deciles := numbers_of(target, "deciles"):
        yield _deciles(deciles, incidence, positive)
    if lift := numbers_of(target, "lift"):
        yield _lift(lift, incidence)
    if isinstance(histogram := values.get("score_histogram"), dict):
        yield _scores(histogram, values.get("score_histogram_positive"), names, threshold)
    yield from _confusion(target)
    if isinstance(curve := values.get("precision_recall_curve"), dict):
        yield _by_threshold(curve, threshold)


def _multiclass(target: TargetMetrics) -> Iterator[Figure]:
    names, values = [label(value) for value in target.classes], _values(target)
    shares = numbers_of(target, "pop_incidence_true") or [0.0] * len(names)
    largest = sorted(sorted(range(len(names)), key=lambda number: -(shares[number] or 0.0))[:COLOURS])
    sub = "Each class against the others" + (f"; the {COLOURS} largest" if len(names) > COLOURS else "")

    def of(key: str) -> dict[str, Any]:
        found = values.get(key)
        return {names[n]: found[n] for n in largest if isinstance(found[n], dict)} if isinstance(found, list) else {}

    yield from _confusion(target)
    if curves := of("roc_curve_by_class"):
        yield roc_figure(curves, sub)
    if curves := of("precision_recall_curve_by_class"):
        yield precision_recall_figure(curves, None, sub)
    if curves := of("calibration_curve_by_class"):
        yield calibration_figure(curves)
    deciles = values.get("deciles")
    if isinstance(deciles, list):
        for number in largest:
            if isinstance(deciles[number], list):
                yield _deciles(deciles[number], shares[number], names[number])


def _regression(target: TargetMetrics) -> Iterator[Figure]:
    values = _values(target)
    if isinstance(plot := values.get("y_yhat_plot"), dict):
        picture = charts.heatmap(plot["bin_edges"], plot["values"], "true value", "prediction", "Truth and prediction")
        sub = "The darker, the more rows. On the dashed line the prediction is right."
        yield Figure("Truth and prediction", picture, sub)
    if isinstance(found := values.get("residual_histogram"), dict):
        picture = charts.histogram(found["bin_edges"], found["values"], "Residuals", x="true value minus prediction")
        yield Figure("Residuals", picture, "The outermost bars hold all rows beyond them too.")
    if (
        isinstance(found := values.get("residuals_by_decile"), dict)
        and len(points_of(found, "predicted", "residual")[0]) > 1
    ):
        yield _residuals(found)
    truth, scores = values.get("training_histogram"), values.get("score_histogram")
    if isinstance(truth, dict) and isinstance(scores, dict):
        picture = charts.histogram(
            truth["bin_edges"],
            truth["values"],
            "Distribution of truth and prediction",
            other=scores["values"],
            x="value",
        )
        yield Figure("Distribution", picture, "", [("k0", "true values"), ("k1 line", "predictions")])
    if explained := numbers_of(target, "r_squared_by_decile"):
        known = [value for value in explained if value is not None]
        low, high = rounded(max(-1.0, min([0.0, *known])), 1.0)
        kept = [None if value is None else max(low, value) for value in explained]
        axis = Axis("R² within the tenth", low, high)
        picture = charts.bar_chart(
            kept, _TENTHS, "tenth of the predictions, lowest first", axis, "R² by decile of the prediction"
        )
        yield Figure("R² by decile", picture, "Within tenths of similar predictions there is less to explain.")


def _deciles(values: Sequence[float | None], incidence: float | None, positive: str) -> Figure:
    _, high = rounded(0, max([*(value for value in values if value is not None), incidence or 0.0, 1e-6]))
    axis = Axis("share", 0, min(1.0, high), _percent)
    picture = charts.bar_chart(
        values, _TENTHS, "tenth of the scores, lowest first", axis, "Deciles", reference=incidence
    )
    legend = [("k0", f"share of {clipped(positive, 30)}")]
    if incidence is not None:
        legend.append(("kr line dashed", f"all rows: {share(incidence)}"))
    return Figure(f"Deciles of {clipped(positive, 30)}", picture, "", legend)


def _lift(values: Sequence[float | None], incidence: float | None) -> Figure:
    parts = [number / 10 for number in range(1, 11)]
    caught = [0.0, *(part * (value or 0.0) for part, value in zip(parts, values, strict=False))]
    found = [Series("the model", [0.0, *parts], caught, dots=True)]
    if incidence:
        found.append(Series("a perfect model", [0.0, min(1.0, incidence), 1.0], [0.0, 1.0, 1.0]))
    axes = Axis("rows with the highest scores", shown=_percent), Axis("positive rows found", shown=_percent)
    picture = line_chart(found, *axes, "Gain", reference=[(0, 0), (1, 1)])
    first = values[0] if values else None
    sub = "" if first is None else f"The highest tenth has {first:.3g} times the share of all rows."
    return Figure("Gain", picture, sub, _legend([one.name for one in found], "by chance"))


def _scores(histogram: Mapping[str, Any], positive: Any, names: Sequence[str], threshold: float | None) -> Figure:
    edges, every, title = histogram["bin_edges"], histogram["values"], "Scores"
    sub = "" if threshold is None else f"Predicted {clipped(names[-1], 30)} from {brief(threshold)} on."
    if not isinstance(positive, dict):
        return Figure(title, charts.histogram(edges, every, title, x="score"), sub)
    other = [max(0.0, whole - part) for whole, part in zip(every, positive["values"], strict=True)]
    picture = charts.histogram(edges, [], title, x="score", stacked=[other, positive["values"]])
    return Figure(title, picture, sub, [("k0", f"truly {names[0]}"), ("k1", f"truly {names[-1]}")])


def _by_threshold(curve: Mapping[str, Any], threshold: float | None) -> Figure:
    precision, recall = points_of(curve, "thresh", "precision"), points_of(curve, "thresh", "recall")
    xs = [*precision[0], *recall[0]] or [0.0, 1.0]
    low, high = (0.0, 1.0) if all(0 <= x <= 1 for x in xs) else (min(xs), max(xs))
    mark = [] if threshold is None else [(threshold, 0.0), (threshold, 1.0)]
    series = [Series("precision", *precision), Series("recall", *recall)]
    title = "Precision and recall by threshold"
    picture = line_chart(series, Axis("threshold", low, high), Axis("share", shown=_percent), title, reference=mark)
    return Figure(title, picture, "", _legend(["precision", "recall"], "the model's threshold" if mark else ""))


def _confusion(target: TargetMetrics) -> Iterator[Figure]:
    matrix, names = _values(target).get("confusion_matrix"), [label(value) for value in target.classes]
    if isinstance(matrix, list) and 1 < len(names) <= _MOST_CONFUSED:
        yield Figure("Confusion matrix", charts.confusion(matrix, names, "Confusion matrix"), "A row is a true class.")


def _residuals(found: Mapping[str, Any]) -> Figure:
    middles, rows = points_of(found, "predicted", "residual")
    tops = [value for row in rows for value in row if value is not None]
    low, high = rounded(min([*tops, 0.0]), max([*tops, 0.0]))
    names = [f"{share(quantile, 0)} quantile" for quantile in found["quantile"]]
    order = sorted(range(len(names)), key=lambda number: abs(found["quantile"][number] - 0.5))
    curves = [{"x": middles, "y": [row[n] for row in rows]} for n in order]
    series = [
        Series(names[n], *points_of(one, "x", "y"), dots=n == order[0]) for n, one in zip(order, curves, strict=True)
    ]
    x = Axis("prediction", min(middles), max(middles))
    axis = Axis("true value minus prediction", low, high)
    picture = line_chart(series, x, axis, "Residuals by prediction", reference=[(x.low, 0), (x.high, 0)])
    sub = "For each tenth of the predictions. A good model's median stays at zero."
    return Figure("Residuals by prediction", picture, sub, _legend([one.name for one in series], ""))


def _legend(names: Sequence[str], reference: str) -> Legend:
    """Of one line only what is compared with it needs a name."""
    found = line_legend([clipped(name, 40) for name in names], reference)
    return found if len(names) > 1 else found[1:]


def points_of(curve: Mapping[str, Any], x: str, y: str) -> tuple[list[Any], list[Any]]:
    """The points of a stored curve, without those that are not known."""
    pairs = [(a, b) for a, b in zip(curve[x], curve[y], strict=True) if a is not None and b is not None]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _percent(value: float) -> str:
    return share(value, 0)


def _values(target: TargetMetrics) -> dict[str, Any]:
    """The metrics by name. The schema of a document says no more of them than that they are JSON."""
    return dict(target.values)
