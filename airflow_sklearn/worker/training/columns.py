"""The columns of a training table that have a role, by the setting that names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.validation import GroupFolds, TimeFolds

if TYPE_CHECKING:
    from airflow_sklearn.contract.jobs import TrainJob

#: The settings that may name the column of the weights. A job does not tell which one did.
WEIGHTS = "sample_weight, or fit_params['sample_weight']"


def named_columns(job: TrainJob) -> dict[str, tuple[str, ...]]:
    """All columns that the job names, by the setting. The table must have them."""
    found = {
        "target": job.targets,
        "primary_key": job.primary_key,
        "excluded_columns": job.excluded_columns,
        WEIGHTS: (job.sample_weight,) if job.sample_weight else (),
        "validation": (job.validation.column,) if isinstance(job.validation, GroupFolds | TimeFolds) else (),
        "metrics_by": job.metrics_by,
        **{f"fit_params[{name!r}]": (column,) for name, column in job.fit_params.items()},
        "will_score": job.will_score.keep if job.will_score else (),
    }
    return {setting: names for setting, names in found.items() if names}


def used_columns(job: TrainJob) -> set[str]:
    """The columns that are read although they may be excluded from learning."""
    named = named_columns(job)
    for setting in ("excluded_columns", "will_score"):
        named.pop(setting, None)
    return {name for names in named.values() for name in names}


def not_learned_from(job: TrainJob) -> set[str]:
    """The columns that are no features, because they have another role."""
    groups = (job.validation.column,) if isinstance(job.validation, GroupFolds) else ()
    weight = (job.sample_weight,) if job.sample_weight else ()
    return {*job.targets, *job.primary_key, *job.excluded_columns, *weight, *groups, *job.fit_params.values()}
