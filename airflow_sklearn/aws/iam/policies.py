"""The policies: who may do what, and why. ``docs/iam.md`` goes through them statement by statement.

Resources and conditions follow the Service Authorization Reference of each service (2026). ``*`` as a resource is left
only where a service knows no resource for an action.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_sklearn.aws.iam.setting import ObjectName, Place, Setting

    Policy = dict[str, Any]
    Statement = dict[str, Any]

_TASKS = "ecs-tasks.amazonaws.com"
_INSTANCES = "ec2.amazonaws.com"
_QUEUE_TAG = "airflow_sklearn_roster"  # the tag of all instances that are launched for jobs, and of their volumes
_REDSHIFT = ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]
_LONGEST = 6144  # characters of a managed policy, white space not counted (IAM quotas)

# Names of what lies in models, ledgers, destinations and staging. Below a folder that was given there may be one of
# them, or several, each in a folder of its own: hence the first ``*``. Tests run jobs and compare.
_ANY_LEDGER = "*_airflow_sklearn/*"
_PUBLISHED = "*/part-*"
_PUBLISHED_MANIFEST = "*/_manifest.json"
_PUBLISHING = "*/_publishing.json"

# Pools of containers: what ``airflow_sklearn.pool`` stores, below a folder of pools, or below a model's.
_POOLS = "*"
_POOLS_OF_MODEL = "*pools/*"
_POOL_QUEUES = "airflow-sklearn-pool-*"

# In staging. A table's ledgers lie beside the manifests for COPY.
_UNLOADED = "*unloads/*"
_SNAPSHOTS = "*unloads/*/snapshot.json"
_UNLOADED_ROWS = "*unloads/*/rows/*"
_COPIES = "*tables/*/copies/*"
_TABLES_LEDGER = "*tables/*/_airflow_sklearn/*"

_SCORES = "*versions/*/out_of_sample/*"
MODEL_BY_AIRFLOW = ("*estimators/*", "*versions/*/jobs/*", "*latest.json")
MODEL_BY_WORKER = (
    "*versions/*/artifact-*",
    "*versions/*/parity-*",
    _SCORES,
    "*versions/*/manifest.json",
    "*versions/*/jobs/*.result.json",
    "*latest.json",
)
_UPLOADED_TO_MODEL = ("*versions/*/artifact-*", _SCORES)
LEDGER_BY_AIRFLOW = ("/plans/*", "/jobs/*", "/proofs/*")
LEDGER_BY_WORKER = ("/jobs/*.result.json", "/receipts/*", "/parts/*")
_UPLOADED_TO_LEDGER = ("/parts/*",)
#: What an instance says of the jobs that it does, beside what the jobs write: see ``runtimes/ec2/job_queue.py``.
_JOB_QUEUES = "/jobs/pools/*"


def all_policies(setting: Setting) -> dict[str, Policy]:
    """The documents by name.

    :raises UserError: one is longer than IAM takes.
    """
    policies = {"airflow": airflow_policy(setting)}
    if setting.cluster:
        trust = trust_policy(setting)
        policies |= {"task": task_policy(setting), "execution": execution_policy(setting)}
        policies |= {"task-trust": trust, "execution-trust": trust}
    if setting.instance_role:
        policies |= {"instance": instance_policy(setting), "instance-trust": instance_trust_policy()}
    if setting.pools:
        policies["pool-driver"] = pool_driver_policy(setting)
    if setting.staging:
        policies |= {"redshift": redshift_policy(setting), "redshift-trust": redshift_trust_policy()}
    long = {name: size for name, policy in policies.items() if (size := _size(policy)) > _LONGEST}
    if long:
        sizes = ", ".join(f"{name} ({size:,})" for name, size in long.items())
        raise UserError(
            f"These policies have more than the {_LONGEST:,} characters that IAM takes: {sizes}. Give folders "
            "that hold several of those you gave, or make policies for several groups of folders and attach them all."
        )
    return policies


def airflow_policy(setting: Setting) -> Policy:
    """For Airflow's workers and triggerer: runs tasks, writes jobs and plans, publishes."""
    read, copies = _read_on_both_sides(setting), _below(setting.staging, _COPIES)
    snapshots, unloaded = _below(setting.staging, _SNAPSHOTS), _below(setting.staging, _UNLOADED)
    published = _below(setting.destinations, _PUBLISHED)
    manifests, locks = _below(setting.destinations, _PUBLISHED_MANIFEST), _below(setting.destinations, _PUBLISHING)
    written = [*_below(setting.models, *MODEL_BY_AIRFLOW), *_in_ledgers(setting, *LEDGER_BY_AIRFLOW)]
    return _policy(
        *_run_jobs(setting),
        *_run_statements(setting),
        *_list(setting, [*read, *_below(setting.destinations, "*"), *copies, *_below(setting.pools, _POOLS)]),
        _on_objects(setting, "ReadSourcesModelsAndLedgers", "s3:GetObject", read),
        _on_objects(setting, "ReadWhatWasPublished", "s3:GetObject", [*manifests, *locks]),
        _on_objects(setting, "WriteJobsPlansAndProofs", "s3:PutObject", written),
        _on_objects(setting, "Publish", "s3:PutObject", [*published, *manifests, *locks]),
        _on_objects(setting, "EndBrokenCopies", "s3:AbortMultipartUpload", published),
        _on_objects(setting, "RemoveWhatIsReplaced", "s3:DeleteObject", [*published, *locks]),
        _on_objects(setting, "WriteSnapshotsAndCopyManifests", "s3:PutObject", [*snapshots, *copies]),
        _on_objects(setting, "RemoveWhatHasServed", "s3:DeleteObject", [*unloaded, *copies]),
        *_drive_pools(setting, _below(setting.pools, _POOLS)),
        *_use_keys(setting),
    )


def pool_driver_policy(setting: Setting) -> Policy:
    """For whoever opens pools of containers outside of Airflow, from a notebook for example."""
    pools = _below(setting.pools, _POOLS)
    return _policy(*_run_jobs(setting), *_list(setting, pools), *_drive_pools(setting, pools), *_use_keys(setting))


def task_policy(setting: Setting) -> Policy:
    """For the code in the container: reads sources, writes models and its part of ledgers. It deletes nothing, does not
    touch what is published, and has no right outside of S3; but for containers of pools, and what those need."""
    read = _read_on_both_sides(setting)
    written = [*_below(setting.models, *MODEL_BY_WORKER), *_in_ledgers(setting, *LEDGER_BY_WORKER)]
    uploaded = [*_below(setting.models, *_UPLOADED_TO_MODEL), *_in_ledgers(setting, *_UPLOADED_TO_LEDGER)]
    pools = _pools_of_containers(setting)
    return _policy(
        *_list(setting, [*read, *pools]),
        _on_objects(setting, "ReadSourcesModelsAndLedgers", "s3:GetObject", read),
        _on_objects(setting, "WriteModelsResultsReceiptsAndParts", "s3:PutObject", written),
        _on_objects(setting, "EndBrokenUploads", "s3:AbortMultipartUpload", uploaded),
        *(_run_jobs(setting) if setting.search_containers else ()),
        *_work_in_pools(setting, pools),
        *_use_keys(setting),
    )


def instance_policy(setting: Setting) -> Policy:
    """For EC2 instances that are launched for jobs: what the task role and the execution role have together, and the
    queue. There is no way to tell the container from the machine that it runs on."""
    queues = [*_below(setting.models, f"*versions/*{_JOB_QUEUES}"), *_in_ledgers(setting, _JOB_QUEUES)]
    return _policy(
        *task_policy(setting)["Statement"],
        _on_objects(setting, "KeepRosters", "s3:PutObject", queues),
        *_start_workers(setting, setting.instance_log_group),
    )


def instance_trust_policy() -> Policy:
    """Who may take the role of the instance profile: EC2, for its instances. The service sends no account with it."""
    return _policy(
        {
            "Sid": "Instances",
            "Effect": "Allow",
            "Principal": {"Service": _INSTANCES},
            "Action": "sts:AssumeRole",
        }
    )


def execution_policy(setting: Setting) -> Policy:
    """For ECS itself, before the container runs: pulls the image, and writes the log."""
    return _policy(*_start_workers(setting, setting.log_group))


def redshift_policy(setting: Setting) -> Policy:
    """For the role that Redshift takes for UNLOAD and COPY: writes rows into staging, reads what is loaded. COPY takes
    LIST and GET, UNLOAD also PUT ("IAM permissions for COPY, UNLOAD, and CREATE LIBRARY")."""
    rows = _below(setting.staging, _UNLOADED_ROWS)
    parts = [*_below(setting.staging, f"{_TABLES_LEDGER}/parts/*"), *_below(setting.ledgers, "*/parts/*")]
    read = [*rows, *parts, *_below(setting.staging, _COPIES), *_below(setting.models, _SCORES)]
    buckets = [f"arn:{setting.partition}:s3:::{bucket}" for bucket in sorted({bucket for bucket, _ in read})]
    return _policy(
        _allow("FindBuckets", "s3:GetBucketLocation", buckets),
        *_list(setting, read),
        _on_objects(setting, "ReadWhatIsLoaded", "s3:GetObject", read),
        _on_objects(setting, "WriteWhatIsUnloaded", "s3:PutObject", rows),
        _on_objects(setting, "EndBrokenUploads", "s3:AbortMultipartUpload", rows),
        *_use_keys(setting),
    )


def redshift_trust_policy() -> Policy:
    """Who may take the role of UNLOAD and COPY: clusters and namespaces that it was attached to.

    That takes ``iam:PassRole`` in the role's account. Redshift's documentation names no condition on the account.
    """
    return _policy(
        {
            "Sid": "RedshiftItIsAttachedTo",
            "Effect": "Allow",
            "Principal": {"Service": _REDSHIFT},
            "Action": "sts:AssumeRole",
        }
    )


def trust_policy(setting: Setting) -> Policy:
    """Who may take the task role or the execution role: ECS, for tasks of this account and region."""
    return _policy(
        {
            "Sid": "EcsTasksOfThisAccount",
            "Effect": "Allow",
            "Principal": {"Service": _TASKS},
            "Action": "sts:AssumeRole",
            "Condition": {
                "ArnLike": {"aws:SourceArn": setting.arn("ecs", "*")},
                "StringEquals": {"aws:SourceAccount": setting.account},
            },
        }
    )


def _run_jobs(setting: Setting) -> Iterator[Statement]:
    """Wherever jobs run."""
    if setting.cluster:
        yield from _run_tasks(setting)
    if setting.instance_role:
        yield from _launch_instances(setting)


def _run_tasks(setting: Setting) -> Iterator[Statement]:
    in_cluster = {"ArnEquals": {"ecs:cluster": setting.cluster_arn}}
    tasks = [setting.arn("ecs", f"task/{setting.cluster}/*")]
    definitions = [setting.arn("ecs", f"task-definition/{family}:*") for family in setting.families]
    yield _allow("RunTasks", "ecs:RunTask", definitions, in_cluster)
    yield _allow("TagTasksThatAreRun", "ecs:TagResource", tasks, {"StringEquals": {"ecs:CreateAction": "RunTask"}})
    yield _allow("WatchAndStopTasks", ["ecs:DescribeTasks", "ecs:StopTask"], tasks)
    yield _allow("FindTasksOfEarlierAttempts", "ecs:ListTasks", ["*"], in_cluster)
    yield _allow("ReadTaskDefinitions", "ecs:DescribeTaskDefinition", ["*"])
    if setting.registers:
        register = {"StringEquals": {"ecs:CreateAction": "RegisterTaskDefinition"}}
        yield _allow("RegisterTaskDefinitions", "ecs:RegisterTaskDefinition", definitions)
        yield _allow("TagTaskDefinitions", "ecs:TagResource", definitions, register)
    roles = sorted({setting.task_role, setting.execution_role})
    yield _allow("HandRolesToTasks", "iam:PassRole", roles, {"StringEquals": {"iam:PassedToService": _TASKS}})
    yield _allow("ReadLogs", "logs:GetLogEvents", [setting.arn("logs", f"log-group:{setting.log_group}:log-stream:*")])


def _launch_instances(setting: Setting) -> Iterator[Statement]:
    """Instances that have the package's tag, and can be had only with it; nothing may be done to any other."""
    instances, volumes = setting.arn("ec2", "instance/*"), setting.arn("ec2", "volume/*")
    tagged = {"StringLike": {f"aws:RequestTag/{_QUEUE_TAG}": "*"}}
    ours = {"StringLike": {f"aws:ResourceTag/{_QUEUE_TAG}": "*"}}
    secured = {"StringEquals": {"ec2:MetadataHttpTokens": "required"}, **tagged}
    kinds = ("key-pair", "launch-template", "network-interface", "spot-instances-request")
    parts = [setting.arn("ec2", f"{kind}/*") for kind in kinds]
    # Subnets may be shared by another account, whose they then are.
    parts += [f"arn:{setting.partition}:ec2:{setting.region}:*:{kind}/*" for kind in ("security-group", "subnet")]
    yield _allow("LaunchInstances", "ec2:RunInstances", [instances], secured)
    yield _allow("LaunchWithVolumes", "ec2:RunInstances", [volumes], tagged)
    images = f"arn:{setting.partition}:ec2:{setting.region}::image/*"
    yield _allow("LaunchWithNetworkAndImage", "ec2:RunInstances", [*parts, images])
    made = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    yield _allow("TagWhatIsLaunched", "ec2:CreateTags", [instances, volumes], made)
    yield _allow("WatchInstances", ["ec2:DescribeImages", "ec2:DescribeInstances"], ["*"])
    yield _allow("ReadConsolesAndEndInstances", ["ec2:GetConsoleOutput", "ec2:TerminateInstances"], [instances], ours)
    parameters = f"arn:{setting.partition}:ssm:{setting.region}::parameter/aws/service/*"
    yield _allow("FindAmisByParameter", "ssm:GetParameters", [parameters])
    passed = {"StringEquals": {"iam:PassedToService": _INSTANCES}}
    yield _allow("HandTheRoleToInstances", "iam:PassRole", [setting.instance_role], passed)
    streams = setting.arn("logs", f"log-group:{setting.instance_log_group}:log-stream:*")
    yield _allow("ReadLogsOfInstances", "logs:GetLogEvents", [streams])


def _start_workers(setting: Setting, log_group: str) -> Iterator[Statement]:
    """Before a container runs, and beside it: its image, and its log."""
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    yield _allow("LogInToTheRegistry", "ecr:GetAuthorizationToken", ["*"])
    yield _allow("PullTheImage", pull, setting.repositories)
    write = ["logs:CreateLogStream", "logs:PutLogEvents"]
    yield _allow("WriteLogs", write, [setting.arn("logs", f"log-group:{log_group}:*")])


def _pools_of_containers(setting: Setting) -> list[ObjectName]:
    """Where containers have pools: their drivers', and below models where they are the drivers themselves."""
    searched = _below(setting.models, _POOLS_OF_MODEL) if setting.search_containers else []
    return [*_below(setting.pools, _POOLS), *searched]


def _drive_pools(setting: Setting, pools: list[ObjectName]) -> Iterator[Statement]:
    """For the process whose tasks run in a pool: makes and removes its queues and its folder."""
    if not pools:
        return
    queues = [setting.arn("sqs", _POOL_QUEUES)]
    own = ["sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueUrl", "sqs:TagQueue"]
    messages = ["sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"]
    yield _allow("MakeQueuesOfPools", own, queues)
    yield _allow("SendTasksAndReceiveResults", messages, queues)
    yield _on_objects(setting, "KeepArgumentsOfPools", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], pools)
    yield _on_objects(setting, "EndBrokenArguments", "s3:AbortMultipartUpload", pools)


def _work_in_pools(setting: Setting, pools: list[ObjectName]) -> Iterator[Statement]:
    """For the containers of a pool; they remove it when its driver is gone. With ``search_containers`` they make it."""
    if not pools:
        return
    queues = [setting.arn("sqs", _POOL_QUEUES)]
    messages = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"]
    making = ["sqs:CreateQueue", "sqs:TagQueue"] if setting.search_containers else []
    yield _allow("FindAndRemoveQueuesOfPools", [*making, "sqs:DeleteQueue", "sqs:GetQueueUrl"], queues)
    yield _allow("TakeTasksAndSendResults", messages, queues)
    yield _on_objects(setting, "WorkInPools", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], pools)
    yield _on_objects(setting, "EndBrokenResults", "s3:AbortMultipartUpload", pools)


def _run_statements(setting: Setting) -> Iterator[Statement]:
    """The Data API, and the database user by temporary credentials or by a secret. The service knows no resource for
    statements that run, and the triggerer watches and cancels what a worker has begun: hence no condition on whose."""
    api = setting.data_api
    if not (api.workgroups or api.clusters):
        return
    yield _allow("RunStatements", "redshift-data:BatchExecuteStatement", [*api.workgroups, *api.clusters])
    watch = ["redshift-data:CancelStatement", "redshift-data:DescribeStatement", "redshift-data:GetStatementResult"]
    yield _allow("WatchAndCancelStatements", watch, ["*"])
    databases = api.of_clusters("dbname", api.databases or ("*",))
    if not api.secrets:
        yield _allow("SignInToWorkgroups", "redshift-serverless:GetCredentials", api.workgroups)
    if api.users:
        users = api.of_clusters("dbuser", api.users)
        yield _allow("SignInToClustersAsUser", "redshift:GetClusterCredentials", [*users, *databases])
    elif not api.secrets:
        yield _allow("SignInToClusters", "redshift:GetClusterCredentialsWithIAM", databases)
    yield _allow("ReadSecrets", "secretsmanager:GetSecretValue", api.secrets)


def _read_on_both_sides(setting: Setting) -> list[ObjectName]:
    whole = [name for place in (*setting.data, *setting.models, *setting.ledgers) for name in place.objects()]
    staged = _below(setting.staging, _UNLOADED, _TABLES_LEDGER)
    return [*whole, *_below(setting.destinations, _ANY_LEDGER), *staged]


def _list(setting: Setting, names: Iterable[ObjectName]) -> Iterator[Statement]:
    """Listing is a right on a bucket, narrowed by a condition on what is listed. It also lets S3 say that an object is
    not there: without it, what is absent looks denied."""
    for number, (bucket, group) in enumerate(groupby(sorted(set(names)), key=lambda name: name[0]), 1):
        prefixes = {"StringLike": {"s3:prefix": _widest(key for _, key in group)}}
        condition = None if setting.lists_whole_buckets else prefixes
        yield _allow(f"ListFolders{number}", "s3:ListBucket", [f"arn:{setting.partition}:s3:::{bucket}"], condition)


def _use_keys(setting: Setting) -> Iterator[Statement]:
    """Only through S3: the role cannot decrypt anything else with the keys."""
    domain = "amazonaws.com.cn" if setting.partition == "aws-cn" else "amazonaws.com"
    services = sorted({f"s3.{key.split(':')[3]}.{domain}" for key in setting.kms_keys})
    if setting.kms_keys:
        condition = {"StringEquals": {"kms:ViaService": services}}
        yield _allow("UseKeysThroughS3", ["kms:Decrypt", "kms:GenerateDataKey"], setting.kms_keys, condition)


def _below(places: Iterable[Place], *patterns: str) -> list[ObjectName]:
    return [name for place in places for name in place.below(*patterns)]


def _in_ledgers(setting: Setting, *patterns: str) -> list[ObjectName]:
    """Below a destination, and in staging, ledgers have a folder of their own; one that is given as ledger is one."""
    return [
        *_below(setting.destinations, *(f"{_ANY_LEDGER}{pattern}" for pattern in patterns)),
        *_below(setting.staging, *(f"{_TABLES_LEDGER}{pattern}" for pattern in patterns)),
        *_below(setting.ledgers, *(f"*{pattern}" for pattern in patterns)),
    ]


def _on_objects(setting: Setting, sid: str, action: str | list[str], names: Iterable[ObjectName]) -> Statement:
    return _allow(sid, action, [f"arn:{setting.partition}:s3:::{bucket}/{key}" for bucket, key in names])


def _widest(patterns: Iterable[str]) -> list[str]:
    """Without those that another one covers."""
    found = sorted(set(patterns))
    return [
        one
        for one in found
        if not any(one != other and other.endswith("*") and one.startswith(other[:-1]) for other in found)
    ]


def _allow(
    sid: str, action: str | list[str], resources: Iterable[str], condition: dict[str, Any] | None = None
) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": action,
        "Resource": _widest(resources),
        **({"Condition": condition} if condition else {}),
    }


def _policy(*statements: Statement) -> Policy:
    """Without statements about folders of which none were given."""
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one.get("Resource", True)]}


def _size(policy: Policy) -> int:
    return len(json.dumps(policy, separators=(",", ":")))
