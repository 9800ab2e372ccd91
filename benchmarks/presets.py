"""Each preset on real tables, beside the plain scikit-learn pipeline that it stands for, and skrub's.

    make .venv-benchmarks/ready
    OMP_NUM_THREADS=1 .venv-benchmarks/bin/python -m benchmarks.presets             # 16 tables, half an hour of CPU
    OMP_NUM_THREADS=1 .venv-benchmarks/bin/python -m benchmarks.presets --write     # into docs/guides/presets.md, too
    .venv-benchmarks/bin/python -m benchmarks.presets --tables cars weather --presets best_regressor best_classifier

Prints AUC (of several classes: the mean of one against the rest) or r2 in three shuffled folds, and the seconds of CPU
to fit. What is measured is kept in ``--results``, and not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

from sklearn.base import clone
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold

from airflow_sklearn.models.presets import PRESETS, build_preset
from benchmarks.preset_peers import plain, skrubs
from benchmarks.preset_tables import Table, tables

PAGE = Path(__file__).parent.parent / "docs" / "guides" / "presets.md"
BEGIN, END = "<!-- benchmarks.presets: begin -->", "<!-- benchmarks.presets: end -->"
CLASSES = [name for name in PRESETS if name.endswith(("classifier", "logistic"))]
SKRUB = "skrub"

Results = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", nargs="*", choices=list(tables()), default=list(tables()))
    parser.add_argument("--presets", nargs="*", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--results", type=Path, default=Path("presets.json"), help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/guides/presets.md")
    options = parser.parse_args()
    results: Results = json.loads(options.results.read_text()) if options.results.exists() else {}
    for name in options.tables:
        table = tables()[name]()
        ours = [preset for preset in options.presets if (preset in CLASSES) == (table.task == "classes")]
        for what, make in _asked(ours, table).items():
            if what in results.setdefault(name, {}):
                continue
            results[name][what] = _measured(make(), table)
            options.results.write_text(json.dumps(results, indent=1))
            print(f"{name:24} {what:44} {results[name][what][0]:.3f} {results[name][what][1]:8.2f} s", flush=True)
    page = report(results)
    print(page)
    if options.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{page}\n{END}{rest.partition(END)[2]}")


def _asked(presets: list[str], table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {SKRUB: lambda: skrubs(table.task)}
    for name in presets:
        found[name] = lambda name=name: build_preset(name)
        if not name.startswith("best"):
            found[f"plain {name}"] = lambda name=name: plain(name)
    return found


def _measured(estimator: Any, table: Table) -> list[float]:
    """The mean score, and the mean seconds of a fit."""
    folds = (StratifiedKFold if table.task == "classes" else KFold)(3, shuffle=True, random_state=1)
    scores, seconds = [], []
    for train, test in folds.split(table.X, table.y):
        fitted = clone(estimator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started = time.process_time()
            fitted.fit(table.X.iloc[train], table.y[train])
            seconds.append(time.process_time() - started)
            scores.append(_score(fitted, table.X.iloc[test], table.y[test], table.task))
    return [mean(scores), mean(seconds)]


def _score(fitted: Any, X: Any, y: Any, task: str) -> float:
    if task == "numbers":
        return float(r2_score(y, fitted.predict(X)))
    probabilities = fitted.predict_proba(X)
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(y == fitted.classes_[1], probabilities[:, 1]))
    return float(roc_auc_score(y, probabilities, multi_class="ovr", labels=fitted.classes_))


def report(results: Results) -> str:
    """The tables of docs/guides/presets.md, and what must hold."""
    loaded = tables()
    lines = []
    for task, metric in (("classes", "AUC"), ("numbers", "r2")):
        names = [name for name in results if loaded[name]().task == task]
        presets = [name for name in PRESETS if (name in CLASSES) == (task == "classes")]
        lines += _scores(results, names, presets, metric) if names else []
    lines += _summary(results)
    return "\n".join(lines) + "\n"


def _scores(results: Results, names: list[str], presets: list[str], metric: str) -> list[str]:
    short = [preset.removesuffix("_classifier").removesuffix("_regressor") for preset in presets]
    lines = [f"| {metric} | " + " | ".join(f"`{one}`" for one in short) + " | skrub |"]
    lines.append("|---" * (len(presets) + 2) + "|")
    for name in names:
        cells = []
        for preset in presets:
            ours, theirs = results[name].get(preset), results[name].get(f"plain {preset}")
            cells.append("" if ours is None else f"{ours[0]:.3f}" + (f" ({theirs[0]:.3f})" if theirs else ""))
        peer = results[name].get(SKRUB)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {peer[0]:.3f} |" if peer else f"| {name} |")
    return [*lines, ""]


def _summary(results: Results) -> list[str]:
    lines = ["| preset | tables | more than 0.01 behind its plain pipeline | fit, times plain | fit, times skrub |"]
    lines.append("|---|---|---|---|---|")
    for preset in PRESETS:
        on = [found for found in results.values() if preset in found]
        if not on:
            continue
        pairs = [(found[preset], found[f"plain {preset}"]) for found in on if f"plain {preset}" in found]
        behind = [
            f"{name} ({found[preset][0]:.3f}, {found[f'plain {preset}'][0]:.3f})"
            for name, found in results.items()
            if preset in found
            and f"plain {preset}" in found
            and _is_behind(found[preset][0], found[f"plain {preset}"][0])
        ]
        ratio = f"{geometric_mean([ours[1] / theirs[1] for ours, theirs in pairs]):.2g}" if pairs else ""
        peer = geometric_mean([found[preset][1] / found[SKRUB][1] for found in on])
        lines.append(f"| `{preset}` | {len(on)} | {', '.join(behind) if pairs else ''} | {ratio} | {peer:.2g} |")
    best = [
        (found[name][0], found[SKRUB][0]) for found in results.values() for name in found if name.startswith("best")
    ]
    wins = sum(ours > theirs for ours, theirs in best)
    return [*lines, "", f"The best preset is better than skrub's `tabular_pipeline` on {wins} of {len(best)} tables."]


def _is_behind(ours: float, theirs: float) -> bool:
    return ours < theirs - 0.01


if __name__ == "__main__":
    main()
