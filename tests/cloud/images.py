"""The worker image with the models for tests."""

from __future__ import annotations

from pathlib import Path

from local_cloud import container_cloud, docker_engine

IMAGE = f"airflow-sklearn-worker-tests:{container_cloud.TAG}"


def build_test_image() -> str:
    """:return: the image's id."""
    folder = Path(__file__).parent / "image"
    worker = container_cloud.build_worker_image()
    return docker_engine.build(IMAGE, folder, folder / "Dockerfile", WORKER_IMAGE=worker)
