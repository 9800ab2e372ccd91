"""``python -m airflow_sklearn.iam``: prints least-privilege IAM policies for a project. Calls no AWS API."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from airflow_sklearn.aws.iam.cloudformation import template
from airflow_sklearn.aws.iam.policies import all_policies
from airflow_sklearn.aws.iam.rights import rights_of_runtimes
from airflow_sklearn.aws.iam.setting import PARTITIONS, read_setting
from airflow_sklearn.exceptions import UserError

_DESCRIPTION = """
Print the IAM policies that airflow-sklearn needs on Amazon ECS, on EC2 and for Redshift, and no more than that:
  airflow    for the identity that Airflow's workers and triggerer have: runs tasks, plans, publishes
  task       for the task role: what the container may read and write
  execution  for the execution role: pulling the image, writing the log
  instance   for the role of the instance profile, with --ec2
  redshift   for the role that Redshift takes for UNLOAD and COPY, with --staging
  pool-driver  for whoever opens pools of containers outside of Airflow, with --pool
and who may take the roles (task-trust, and so on). task and execution come with --cluster. Nothing is sent to AWS.
"""
_EPILOG = """
example:
  python -m airflow_sklearn.iam --cluster ml --region eu-west-1 --account 111122223333 \\
      --data s3://acme/customers/ --model s3://acme/models --destination s3://acme/churn_scores --output policies

for instances of EC2 instead of a cluster, --ec2 takes the place of --cluster:
  python -m airflow_sklearn.iam --ec2 --region eu-west-1 --account 111122223333 \\
      --data s3://acme/customers/ --model s3://acme/models --destination s3://acme/churn_scores --output policies

for tables in Redshift, --staging takes the place of --data and --destination:
  python -m airflow_sklearn.iam --cluster ml --region eu-west-1 --account 111122223333 \\
      --staging s3://acme/redshift --model s3://acme/models --data-api-cluster analytics --output policies
"""


def main(arguments: list[str] | None = None, *, prog: str = "python -m airflow_sklearn.iam") -> int:
    """Print the policies, or a CloudFormation template.

    :param arguments: the command line's arguments; None: those of this process.
    :param prog: the command's name, for its help.
    :return: the exit code.
    """
    options = vars(_parser(prog).parse_args(arguments))
    form, policy, folder = options.pop("format"), options.pop("policy"), options.pop("output")
    as_json = options.pop("json")
    try:
        if form == "cloudformation" and policy:
            raise UserError("--policy goes with --format json: a template holds them all")
        setting = read_setting(**{name: value for name, value in options.items() if value is not None})
        policies = all_policies(setting)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if policy and policy not in policies:
        wanted = _options_by_role()[policy.removesuffix("-trust")]
        print(f"--policy {policy} needs {wanted}: without it there is no such role", file=sys.stderr)
        return 2
    documents: dict[str, Any] = {policy: policies[policy]} if policy else policies
    if form == "cloudformation":
        documents = {"cloudformation": template(setting, policies)}
    if folder is None:
        one = next(iter(documents.values())) if len(documents) == 1 else documents
        print(json.dumps(one, indent=2))
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.json" for name in documents]
    for path, document in zip(paths, documents.values(), strict=True):
        path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps({"written": list(map(str, paths))}) if as_json else "\n".join(map(str, paths)))
    return 0


def _options_by_role() -> dict[str, str]:
    """For each policy except Airflow's, the option without which there is no such policy."""
    of_runtimes = {role: rights.option for rights in rights_of_runtimes() for role in rights.role_names}
    return {**of_runtimes, "redshift": "--staging", "pool-driver": "--pool"}


def _policy_names() -> list[str]:
    roles = [name for name in _options_by_role() if name != "pool-driver"]
    return ["airflow", *roles, "pool-driver", *(f"{role}-trust" for role in roles)]


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG.replace("python -m airflow_sklearn.iam", prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_argument_group("where")
    where.add_argument("--cluster", help="the ECS cluster, by name or ARN (EcsRuntime)")
    where.add_argument("--ec2", action="store_true", help="instances are launched for jobs (Ec2Runtime)")
    where.add_argument(
        "--runtime",
        dest="runtimes",
        action="append",
        metavar="NAME",
        help="another registered runtime; may be repeated",
    )
    where.add_argument("--region", required=True, help="of the cluster, or of the instances")
    where.add_argument("--account", required=True, help="12 digits")
    where.add_argument("--partition", choices=PARTITIONS, help="default: the region's")
    folders = parser.add_argument_group("folders in S3, each may be repeated; one may hold several")
    for name, dest, help_text in (
        ("data", "data", "what is trained on and predicted: a folder (slash at its end) or an object; only read"),
        (
            "compared",
            "compared",
            "what a training only looks at: the files of will_score=... and of HeldOut(...); only read",
        ),
        ("model", "models", "a model's URI"),
        ("destination", "destinations", "where predictions are published; the ledgers of the runs are below it"),
        ("ledger", "ledgers", "a folder for ledgers, if plans name one (ledger=...)"),
        ("pool", "pools", "pools of containers for joblib: the storage of parallel_config, and of WorkerPool"),
        ("staging", "staging", "what lies between Redshift and the containers, the staging of RedshiftTable"),
    ):
        folders.add_argument(f"--{name}", dest=dest, action="append", metavar="S3_URI", help=help_text)
    folders.add_argument(
        "--search-containers",
        dest="search_containers",
        action="store_true",
        help="train jobs fit in further containers: SklearnTrainOperator(search_containers=...)",
    )
    folders.add_argument(
        "--list-whole-buckets",
        dest="lists_whole_buckets",
        action="store_true",
        help="allow listing in all of each bucket, for when what is absent looks denied (see docs/guides/iam.md)",
    )
    names = parser.add_argument_group("names")
    names.add_argument(
        "--task-definition",
        dest="families",
        action="append",
        metavar="FAMILY",
        help="that Airflow may run; * at its end for all that begin so; may be repeated (default: airflow-sklearn*)",
    )
    names.add_argument(
        "--register-task-definitions",
        dest="registers",
        action="store_true",
        help="Airflow registers them: EcsRuntime(task_definition={...}); the families then need a * at their end",
    )
    names.add_argument("--log-group", metavar="NAME", help="default: /ecs/airflow-sklearn")
    names.add_argument("--task-role", metavar="ROLE", help="name or ARN (default: airflow-sklearn-task)")
    names.add_argument("--execution-role", metavar="ROLE", help="name or ARN (default: airflow-sklearn-execution)")
    names.add_argument("--instance-role", metavar="ROLE", help="name or ARN (default: airflow-sklearn-instance)")
    names.add_argument("--instance-log-group", metavar="NAME", help="default: /ec2/airflow-sklearn")
    names.add_argument("--redshift-role", metavar="ROLE", help="name or ARN (default: airflow-sklearn-redshift)")
    names.add_argument(
        "--ecr-repository",
        dest="repositories",
        action="append",
        metavar="REPOSITORY",
        help="name, ARN or image's name; may be repeated (default: airflow-sklearn-worker)",
    )
    names.add_argument(
        "--kms-key",
        dest="kms_keys",
        action="append",
        metavar="ARN",
        help="of buckets encrypted with it; may be repeated",
    )
    api = parser.add_argument_group("Redshift Data API, if that is the way in; each may be repeated")
    for name, dest, metavar, help_text in (
        ("workgroup", "workgroups", "WORKGROUP", "of Redshift Serverless, by ARN or id: the ARN has no name in it"),
        ("cluster", "clusters", "CLUSTER", "a provisioned cluster, by identifier or ARN"),
        ("user", "users", "USER", "a cluster's user (db_user); default: the one that the IAM identity is"),
        ("database", "databases", "NAME", "a cluster's database (default: all)"),
        ("secret", "secrets", "ARN", "with user and password (secret_arn), instead of temporary credentials"),
    ):
        api.add_argument(f"--data-api-{name}", dest=dest, action="append", metavar=metavar, help=help_text)
    output = parser.add_argument_group("output")
    output.add_argument("--policy", choices=_policy_names(), help="only this one")
    output.add_argument("--format", choices=("json", "cloudformation"), default="json")
    output.add_argument("--json", action="store_true", help="with --output, print the written paths as JSON")
    output.add_argument("--output", type=Path, metavar="FOLDER", help="write each to a file of its name there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
