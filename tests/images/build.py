"""The worker image, built as a user builds it."""

from __future__ import annotations

import os
from pathlib import Path

from local_cloud import docker_engine

REPOSITORY = Path(__file__).resolve().parents[2]
WORKER_IMAGE = "airflow-sklearn-worker:local"
#: Bases of machines that cannot pull one. The first that is there is taken; else the Dockerfile's own.
_STAND_INS = (docker_engine.BASE_IMAGE, "local/python:3.11-slim-bookworm")


def base_image() -> str | None:
    """What the image is built on; None for the Dockerfile's default."""
    asked = os.environ.get("AIRFLOW_SKLEARN_PYTHON_IMAGE")
    return asked or next((name for name in _STAND_INS if docker_engine.images(name)), None)


def build_worker_image() -> str:
    """Build it, mostly from Docker's cache.

    :return: its name.
    """
    base = base_image()
    arguments = {"PYTHON_IMAGE": base} if base else {}
    docker_engine.build(WORKER_IMAGE, REPOSITORY, REPOSITORY / "images" / "Dockerfile", **arguments)
    return WORKER_IMAGE
