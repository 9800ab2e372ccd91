"""``SklearnCompareOperator``: ranks models by a metric, and returns the best one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_sklearn.contract.arguments import check_all, check_column, check_text, is_known
from airflow_sklearn.contract.faults import shown
from airflow_sklearn.contract.shown import told
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.operators.base import SklearnOperator
from airflow_sklearn.operators.links import ComparePageLink
from airflow_sklearn.operators.places import check_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.airflow_compat import Context
    from airflow_sklearn.runs.leaderboard import Leaderboard


class SklearnCompareOperator(SklearnOperator):
    """Compare models by a metric of their out-of-sample rows. The log shows them from the best to the worst, with
    confidence intervals.

    Returns the best model as ``SklearnTrainOperator`` does (``{"model", "version", "manifest_uri", "manifest_sha256",
    "metrics", "rows", "reused"}``), with ``estimator`` (what this operator takes to train it again) and
    ``leaderboard``, a list of ``{"estimator", "model", "value", "low", "high", "fit_seconds"}``. Each value is an XCom
    of its own too: ``compare.output["estimator"]``.

    A page for people is written below the best model, ``comparisons/<digest>.html``, and linked from the task. If that
    fails, the log says so, and the task goes on.

    :param models: the models: URIs, or results of tasks, such as ``train.output`` of a mapped
        ``SklearnTrainOperator``. (templated)
    :param metric: a metric of ``metrics.json`` that is a number; None: ``roc_auc`` of two classes,
        ``roc_auc_macroavg`` of several, ``r_squared`` of numbers. (templated)
    :param target: the target to compare; empty: the models' only one. (templated)
    :param aws_conn_id: the Airflow connection for S3.
    """

    template_fields: Sequence[str] = ("models", "metric", "target", "aws_conn_id")
    text_fields = ("metric", "target", "aws_conn_id")
    operator_extra_links = (ComparePageLink(),)
    ui_color = "#f7d9b8"

    def __init__(
        self,
        *,
        models: Any,
        metric: str | None = None,
        target: str = "",
        aws_conn_id: str | None = "aws_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(aws_conn_id=aws_conn_id, **{"multiple_outputs": True, **kwargs})
        self.models = models
        self.metric = metric
        self.target = target
        self.check_early()

    def check_arguments(self) -> None:
        """See ``SklearnOperator.check_arguments``."""
        check_all(
            super().check_arguments,
            self._check_models,
            lambda: check_text("metric", self.metric or "roc_auc", example="metric='roc_auc'"),
            lambda: check_column("target", self.target),
        )

    def _check_models(self) -> None:
        if not is_known(self.models):
            return
        if isinstance(self.models, str | bytes | Mapping) or not isinstance(self.models, Iterable):
            raise UserError(
                f"models={shown(self.models)}: give a list of models, such as train.output of a mapped task."
            )
        if isinstance(self.models, list | tuple):  # not what a mapped task has returned, which is read once
            for model in self.models:
                check_model(model)

    def work(self, context: Context) -> dict[str, Any]:
        """Read the metrics and rank the models. The class documents the result."""
        from airflow_sklearn.runs.leaderboard import leaderboard

        ranked = leaderboard(self.storage, list(self.models), metric=self.metric or None, target=self.target)
        self.log.info("%s", ranked)
        self._add_page(context, ranked)
        lines = [{**vars(one), "model": one.model["manifest_uri"]} for one in ranked.models]
        return {**ranked.best.model, "estimator": ranked.best.estimator, "leaderboard": lines}

    def _add_page(self, context: Context, ranked: Leaderboard) -> None:
        """Write the page, and link it."""
        try:
            from airflow_sklearn.report.stored import write_compare_page

            uri = write_compare_page(self.storage, ranked)
            self.log.info("The comparison's page is %s", uri)
        except Exception as error:
            self.log.warning("The comparison has no page, because this failed: %s", told(error))
            uri = ""
        self.store_link(context, ComparePageLink, uri)
