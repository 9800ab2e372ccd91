"""Runs in a worker's container in the worker's place: the same job, and when each phase of its start was over.

The clock is the machine's, which containers share.
"""

from __future__ import annotations

import time

moments = {"container": time.monotonic()}

import gc  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import airflow_sklearn.worker.__main__  # noqa: E402
from airflow_sklearn.system.software import prepare_for_prediction  # noqa: E402
from airflow_sklearn.worker.run import no_collections  # noqa: E402

moments["documents"] = time.monotonic()
prepare_for_prediction()
with no_collections():
    from airflow_sklearn.worker.prediction import predict, slices

moments["libraries"] = time.monotonic()


def stamped(function: Callable[..., Any], phase: str, after: str) -> Callable[..., Any]:
    """``function``, whose first return after the end of phase ``after`` is the end of ``phase``."""

    def call(*arguments: Any, **options: Any) -> Any:
        answer = function(*arguments, **options)
        if after in moments:
            moments.setdefault(phase, time.monotonic())
        return answer

    return call


if __name__ == "__main__":
    predict.replay = stamped(predict.replay, "model", "libraries")  # type: ignore[assignment]
    slices.Predictor.__call__ = stamped(slices.Predictor.__call__, "first row", "model")  # type: ignore[method-assign]
    code = airflow_sklearn.worker.__main__.main(sys.argv[1:])
    print(json.dumps(moments))
    gc.freeze()  # as the worker does
    sys.exit(code)
