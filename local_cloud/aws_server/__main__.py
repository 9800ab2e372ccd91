"""``python -m local_cloud.aws_server``: ministack with the behaviours of Amazon ECS and EC2 that it lacks.

The patches use private functions of ministack, so they are for one version of it.
"""

from __future__ import annotations

import os
from importlib.metadata import version

from ministack import app
from ministack.services import cloudwatch_logs, ec2, ecs, ecs_metadata

MINISTACK = "1.5.33"
USED = {
    ecs: (
        "_ACTION_MAP",
        "_ImagePullError",
        "_build_run_kwargs",
        "_bump_task_version",
        "_cleanup_task_resources",
        "_cluster_name_from_arn",
        "_clusters",
        "_fail_task_start",
        "_get_docker",
        "_iso",
        "_launch_choice",
        "_maybe_mark_stopped",
        "_recount_cluster",
        "_register_metadata",
        "_resolve_cluster_name",
        "_resolve_task",
        "_resolve_td_key",
        "_run_docker_container",
        "_sanitize",
        "_tags",
        "_task_capacity",
        "_task_defs",
        "_tasks",
        "_watch_task_lifecycle",
    ),
    ec2: (
        "_ACTION_MAP",
        "_DOCKER_ACTIONS",
        "_cleanup_terminated",
        "_error",
        "_get_docker",
        "_instance_xml",
        "_instances",
        "_launch_templates",
        "_matches_filters",
        "_p",
        "_parse_member_list",
        "_probe_shell",
        "_registered_image",
        "_vm_get_container",
        "_vm_reconcile_running",
        "_vm_remove_container",
        "_xml",
        "container_reaper",
    ),
    ecs_metadata: ("_TOKEN_TO_CONTAINER", "set_task_status"),
    cloudwatch_logs: ("_log_groups",),
}


def check() -> None:
    """:raises SystemExit: this is another ministack than the patches were written for."""
    used = [(module, name) for module, names in USED.items() for name in names]
    missing = [f"{module.__name__}.{name}" for module, name in used if not hasattr(module, name)]
    if version("ministack") != MINISTACK or missing:
        raise SystemExit(
            f"local_cloud/aws_server was written for ministack {MINISTACK} (requirements/ministack.in); this is "
            f"{version('ministack')}{', without ' + ', '.join(missing) if missing else ''}. Look at each patch again."
        )


def main() -> None:
    """Patch, and serve until SIGTERM."""
    check()
    from local_cloud.aws_server.ec2 import instances
    from local_cloud.aws_server.ecs import containers, lifecycle, requests, task_endpoint

    containers.install()
    instances.install()
    lifecycle.install()
    requests.install()
    task_endpoint.serve(os.environ["BIND_HOST"], int(os.environ["GATEWAY_PORT"]))
    app.main()


if __name__ == "__main__":
    main()
