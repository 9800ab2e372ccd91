"""Choosing the columns of predictions that a run writes, by a user's words for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.contract.faults import suggestion
from airflow_sklearn.contract.schema import Bins, best_first, label_text
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Method, OutputColumn, Target

#: Short words for the columns of a method.
WORDS: dict[str, Method] = {
    "pred": "predict",
    "proba": "predict_proba",
    "decision": "decision_function",
    "score": "score_samples",
    "transform": "transform",
}
_DECIDED = "label"
_RANKS = {"percentile": 1, "decile": 10}  # every how many of the 99 percentiles is an edge


def choose_outputs(
    manifest: ModelManifest, method: str, asked: Sequence[str] = (), targets: Sequence[str] = ()
) -> tuple[Method, tuple[OutputColumn, ...]]:
    """The method of a run, and its columns of predictions.

    :param manifest: the model's manifest.
    :param method: ``auto`` or a method of the estimator. It decides the columns if none are asked for.
    :param asked: the columns: their names, or ``pred``, ``proba``, ``proba:yes``, ``decision``, ``score``,
        ``transform``, ``label``, ``percentile``, ``percentile:yes``, ``decile``, ``decile:yes``.
    :param targets: the targets to predict; empty: all of the model.
    :return: the method, of the first column, and the columns in the order in which they are asked for.
    :raises UserError: the model lacks the method, or columns; the message lists all of them.
    """
    if targets:
        manifest = _of_targets(manifest, targets)
    if not asked:
        chosen = _method(manifest, method)
        best = _best_methods(manifest) if method == "auto" else {}
        return chosen, tuple(o for o in manifest.parity.outputs if o.method == best.get(o.target, chosen))
    if method != "auto":
        raise UserError(f"method={method!r} and outputs={list(asked)} both choose columns: leave method out.")
    known = _known(manifest)
    if unknown := [word for word in asked if word not in known]:
        told = "".join(f" There is no {word!r}.{suggestion(word, known)}" for word in unknown)
        raise UserError(
            f"outputs={list(asked)}:{told} The model {manifest.model} has {', '.join(known)}."
            + _why_not(manifest, unknown)
        )
    columns = tuple(dict.fromkeys(column for word in asked for column in known[word]))
    return columns[0].method, columns


def reason_columns(manifest: ModelManifest, columns: Sequence[OutputColumn], count: int) -> tuple[OutputColumn, ...]:
    """The columns that explain predictions: the features that moved each row's score most, and their effects.

    :param manifest: the model's manifest.
    :param columns: the columns of predictions. Their targets are explained.
    :param count: the number of features a row; 0: none.
    :raises UserError: a target's estimator cannot be explained row by row.
    """
    if not count:
        return ()
    targets = manifest.feature_schema.targets
    first = {column.target or targets[0].name: column for column in reversed(columns)}
    chosen = [target for target in targets if target.name in first]
    if unknown := [target.name for target in chosen if target.name not in manifest.explained]:
        raise UserError(
            f"explain={count}: {manifest.estimator_class} ({', '.join(unknown)}) is not explained row by row. "
            "Reasons are known of linear models, trees, and stacks of these, whose columns are made of one feature "
            "each. Fix: leave explain out, or use another model. What counts in the whole is in the "
            "explanation beside the model."
        )
    found = []
    for target in chosen:
        for reason in range(1, count + 1):
            for word, kind in (("reason", "string"), ("effect", "double")):
                named = {"name": f"{target.name}_{word}_{reason}", "arrow_type": kind, "reason": reason, "bins": None}
                found.append(first[target.name].model_copy(update=named))
    return tuple(found)


def _of_targets(manifest: ModelManifest, targets: Sequence[str]) -> ModelManifest:
    """The manifest with some of the targets.

    :raises UserError: the model has no such target.
    """
    known = [target.name for target in manifest.feature_schema.targets]
    if unknown := [name for name in targets if name not in known]:
        told = "".join(f" There is no {name!r}.{suggestion(name, known)}" for name in unknown)
        raise UserError(f"targets={list(targets)}:{told} The model {manifest.model} predicts {', '.join(known)}.")
    kept = tuple(target for target in manifest.feature_schema.targets if target.name in targets)
    outputs = tuple(o for o in manifest.parity.outputs if (o.target or known[0]) in targets)
    return manifest.model_copy(
        update={
            "feature_schema": manifest.feature_schema.model_copy(update={"targets": kept}),
            "parity": manifest.parity.model_copy(update={"outputs": outputs}),
            "methods": best_first([method for method in manifest.methods if any(o.method == method for o in outputs)]),
        }
    )


def _best_methods(manifest: ModelManifest) -> dict[str, Method]:
    """The best method of each target that has an estimator of its own."""
    found: dict[str, list[Method]] = {}
    for output in manifest.parity.outputs:
        found.setdefault(output.target, []).append(output.method)
    return {target: best_first(methods)[0] for target, methods in found.items()}


def _method(manifest: ModelManifest, method: str) -> Method:
    available = best_first(manifest.methods)
    chosen = available[0] if method == "auto" else next((name for name in available if name == method), None)
    if chosen is None:
        raise UserError(
            f"The model {manifest.model} ({manifest.estimator_class}) has no method {method!r}; "
            f"it has {', '.join(available)}. Choose one of these, or 'auto'."
        )
    return chosen


@dataclass(frozen=True)
class _Score:
    """A column of a target.

    :param word: the short word for its method.
    :param label: the class in its name; empty: none.
    """

    target: Target
    word: str
    label: str
    column: OutputColumn


def _known(manifest: ModelManifest) -> dict[str, list[OutputColumn]]:
    """All words that the model understands, each with its columns."""
    outputs = [_alone(output, manifest) for output in manifest.parity.outputs]
    scores = [score for target in manifest.feature_schema.targets for score in _scores_of(target, outputs)]
    known: dict[str, list[OutputColumn]] = {}
    for word, method in WORDS.items():
        if of_it := [output for output in outputs if output.method == method]:
            known[word] = of_it
    for score in scores:
        if score.label:
            known.setdefault(f"{score.word}:{score.label}", []).append(score.column)
    for target in manifest.feature_schema.targets:
        mine = [score for score in scores if score.target == target]
        for rank in _RANKS:
            for word, column in _ranks(rank, target, mine, manifest.score_percentiles):
                known.setdefault(word, []).append(column)
        if (decided := _decision(target, mine, manifest.thresholds)) is not None:
            known.setdefault(_DECIDED, []).append(decided)
    return {**known, **{output.name: [output] for output in outputs}}


def _alone(output: OutputColumn, manifest: ModelManifest) -> OutputColumn:
    """A column that says how many columns its method gives, so that it can be written without the others."""
    if output.index is None:
        return output
    same = [o for o in manifest.parity.outputs if (o.method, o.target) == (output.method, output.target)]
    return output.model_copy(update={"width": len(same)})


def _scores_of(target: Target, outputs: Sequence[OutputColumn]) -> Iterator[_Score]:
    labels = [label_text(label) for label in target.classes]
    for output in outputs:
        if output.target not in ("", target.name):
            continue
        word = next(word for word, method in WORDS.items() if method == output.method)
        if output.name == f"{target.name}_{word}":
            yield _Score(target, word, "", output)
        for label in labels:
            if output.name == f"{target.name}_{word}_{label}":
                yield _Score(target, word, label, output)


def _ordering(target: Target, scores: Sequence[_Score]) -> _Score | None:
    """The column that orders a target's rows: the second class of two, or a number. None: there are several classes."""
    second = label_text(target.classes[1]) if len(target.classes) == 2 else None
    wanted = [("proba", second), ("decision", "")] if target.task == "classification" else [("pred", "")]
    found = {(score.word, score.label): score for score in scores}
    return next((found[key] for key in wanted if key in found), None)


def _ranks(
    rank: str, target: Target, scores: Sequence[_Score], percentiles: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, OutputColumn]]:
    """The percentiles or deciles of a target's scores, each with the words that ask for it."""
    main = _ordering(target, scores)
    for score in scores:
        if score.column.name not in percentiles:
            continue
        bins = Bins(edges=tuple(percentiles[score.column.name][_RANKS[rank] - 1 :: _RANKS[rank]]))
        name = f"{target.name}_{rank}" + ("" if score == main else f"_{score.label}")
        column = score.column.model_copy(update={"name": name, "arrow_type": "int64", "bins": bins})
        if score == main or (main is None and score.label):
            yield rank, column
        if score.label and score.word == "proba":
            yield f"{rank}:{score.label}", column


def _decision(target: Target, scores: Sequence[_Score], thresholds: Mapping[str, float]) -> OutputColumn | None:
    """The class of a target at its tuned threshold; None if there is no threshold."""
    score, label = _ordering(target, scores), next((s.column for s in scores if s.word == "pred"), None)
    if target.name not in thresholds or score is None or label is None or len(target.classes) != 2:
        return None
    bins = Bins(edges=(thresholds[target.name],), labels=target.classes)
    named = {"name": f"{target.name}_{_DECIDED}", "arrow_type": label.arrow_type, "bins": bins}
    return score.column.model_copy(update=named)


def _why_not(manifest: ModelManifest, unknown: Sequence[str]) -> str:
    words = {word.partition(":")[0] for word in unknown}
    why = ""
    if words & set(_RANKS) and not manifest.score_percentiles:
        why += " Percentiles need out-of-sample scores: train with a validation."
    if _DECIDED in words and not manifest.thresholds:
        why += " 'label' needs a decision threshold: train with threshold=...."
    return why
