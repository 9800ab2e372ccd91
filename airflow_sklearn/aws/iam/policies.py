"""The IAM policies: which role may do what, and why. ``docs/guides/iam.md`` explains each statement.

Resources and conditions follow the Service Authorization Reference of each service (2026). ``*`` is the resource only
where a service defines none for the action.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_sklearn.aws.iam.rights import rights_in_use
from airflow_sklearn.aws.iam.statements import (
    ANY_LEDGER,
    TABLES_LEDGER,
    allow,
    below,
    in_ledgers,
    on_objects,
    policy,
    service_trust,
    widest,
)
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_sklearn.aws.iam.setting import ObjectName, Setting
    from airflow_sklearn.aws.iam.statements import Policy, Statement

_REDSHIFT = ["redshift.amazonaws.com", "redshift-serverless.amazonaws.com"]
_LONGEST = 6144  # characters of a managed policy, white space not counted (IAM quotas)

# Names of the objects in models, ledgers, destinations and staging. A given folder may be one of these or hold several,
# each in a folder of its own: hence the first ``*``. Tests run jobs and compare the names with these patterns.
_PUBLISHED = "*/part-*"
_PUBLISHED_MANIFEST = "*/_manifest.json"
_PUBLISHING = "*/_publishing.json"

# Objects of pools of containers (``airflow_sklearn.pool``), below a folder for pools or below a model's folder.
_POOLS = "*"
_POOLS_OF_MODEL = "*pools/*"
_POOL_QUEUES = "airflow-sklearn-pool-*"

# In staging. A table's ledgers lie beside the manifests for COPY.
_UNLOADED = "*unloads/*"
_SNAPSHOTS = "*unloads/*/snapshot.json"
_UNLOADED_ROWS = "*unloads/*/rows/*"
_COPIES = "*tables/*/copies/*"

_SCORES = "*versions/*/out_of_sample/*"
MODEL_BY_AIRFLOW = ("*estimators/*", "*versions/*/jobs/*", "*comparisons/*.html", "*latest.json")
MODEL_BY_WORKER = (
    "*versions/*/artifact-*",
    "*versions/*/parity-*",
    "*versions/*/metrics-*",
    "*versions/*/explanation-*",
    _SCORES,
    "*versions/*/manifest.json",
    "*versions/*/report.html",
    "*versions/*/jobs/*.result.json",
    "*latest.json",
)
_UPLOADED_TO_MODEL = ("*versions/*/artifact-*", _SCORES)
LEDGER_BY_AIRFLOW = ("/plans/*", "/jobs/*", "/proofs/*", "/attempts/*", "/report.html")
LEDGER_BY_WORKER = ("/jobs/*.result.json", "/receipts/*", "/parts/*", "/attempts/*")
_UPLOADED_TO_LEDGER = ("/parts/*",)


def all_policies(setting: Setting) -> dict[str, Policy]:
    """All policies that a setting needs, by name.

    :raises UserError: a policy is longer than IAM's limit of 6,144 characters.
    """
    policies = {"airflow": airflow_policy(setting)}
    worker = worker_policy(setting)
    for rights in rights_in_use(setting):
        roles = rights.roles(setting, worker)
        policies |= {name: role.policy for name, role in roles.items()}
        policies |= {f"{name}-trust": role.trust for name, role in roles.items()}
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
    """For Airflow's workers and triggerer: they start containers, write jobs and plans, and publish."""
    read, copies = _read_on_both_sides(setting), below(setting.staging, _COPIES)
    snapshots, unloaded = below(setting.staging, _SNAPSHOTS), below(setting.staging, _UNLOADED)
    published = below(setting.destinations, _PUBLISHED)
    manifests, locks = below(setting.destinations, _PUBLISHED_MANIFEST), below(setting.destinations, _PUBLISHING)
    written = [*below(setting.models, *MODEL_BY_AIRFLOW), *in_ledgers(setting, *LEDGER_BY_AIRFLOW)]
    return policy(
        *_run_jobs(setting),
        *_run_statements(setting),
        *_list(setting, [*read, *below(setting.destinations, "*"), *copies, *below(setting.pools, _POOLS)]),
        on_objects(setting, "ReadSourcesModelsAndLedgers", "s3:GetObject", read),
        on_objects(setting, "ReadWhatWasPublished", "s3:GetObject", [*manifests, *locks]),
        on_objects(setting, "WriteJobsPlansAndProofs", "s3:PutObject", written),
        on_objects(setting, "Publish", "s3:PutObject", [*published, *manifests, *locks]),
        on_objects(setting, "EndBrokenCopies", "s3:AbortMultipartUpload", published),
        on_objects(setting, "RemoveWhatIsReplaced", "s3:DeleteObject", [*published, *locks]),
        on_objects(setting, "WriteSnapshotsAndCopyManifests", "s3:PutObject", [*snapshots, *copies]),
        on_objects(setting, "RemoveWhatHasServed", "s3:DeleteObject", [*unloaded, *copies]),
        *_drive_pools(setting, below(setting.pools, _POOLS)),
        *_use_keys(setting),
    )


def pool_driver_policy(setting: Setting) -> Policy:
    """For a driver of pools outside of Airflow, such as a notebook."""
    pools = below(setting.pools, _POOLS)
    return policy(*_run_jobs(setting), *_list(setting, pools), *_drive_pools(setting, pools), *_use_keys(setting))


def worker_policy(setting: Setting) -> Policy:
    """For the code in the container: it reads sources, and writes models and its part of ledgers.

    It deletes nothing, does not touch published files, and has no rights outside of S3, except those for pools.
    """
    read = _read_on_both_sides(setting)
    written = [*below(setting.models, *MODEL_BY_WORKER), *in_ledgers(setting, *LEDGER_BY_WORKER)]
    uploaded = [*below(setting.models, *_UPLOADED_TO_MODEL), *in_ledgers(setting, *_UPLOADED_TO_LEDGER)]
    pools = _pools_of_containers(setting)
    return policy(
        *_list(setting, [*read, *pools]),
        on_objects(setting, "ReadSourcesModelsAndLedgers", "s3:GetObject", read),
        on_objects(setting, "WriteModelsResultsReceiptsAndParts", "s3:PutObject", written),
        on_objects(setting, "EndBrokenUploads", "s3:AbortMultipartUpload", uploaded),
        *(_run_jobs(setting) if setting.search_containers else ()),
        *_work_in_pools(setting, pools),
        *_use_keys(setting),
    )


def redshift_policy(setting: Setting) -> Policy:
    """For the role that Redshift uses for UNLOAD and COPY: it writes rows into staging, and reads files that are
    loaded.

    COPY needs LIST and GET, UNLOAD also needs PUT (Amazon Redshift Database Developer Guide, "IAM permissions for COPY,
    UNLOAD, and CREATE LIBRARY").
    """
    rows = below(setting.staging, _UNLOADED_ROWS)
    parts = [*below(setting.staging, f"{TABLES_LEDGER}/parts/*"), *below(setting.ledgers, "*/parts/*")]
    read = [*rows, *parts, *below(setting.staging, _COPIES), *below(setting.models, _SCORES)]
    buckets = [f"arn:{setting.partition}:s3:::{bucket}" for bucket in sorted({bucket for bucket, _ in read})]
    return policy(
        allow("FindBuckets", "s3:GetBucketLocation", buckets),
        *_list(setting, read),
        on_objects(setting, "ReadWhatIsLoaded", "s3:GetObject", read),
        on_objects(setting, "WriteWhatIsUnloaded", "s3:PutObject", rows),
        on_objects(setting, "EndBrokenUploads", "s3:AbortMultipartUpload", rows),
        *_use_keys(setting),
    )


def redshift_trust_policy() -> Policy:
    """The role for UNLOAD and COPY may be assumed by the clusters and namespaces that it is attached to.

    Attaching it needs ``iam:PassRole`` in the role's account. Redshift's documentation names no condition on the
    account.
    """
    return service_trust("RedshiftItIsAttachedTo", _REDSHIFT)


def _run_jobs(setting: Setting) -> Iterator[Statement]:
    """Statements for whoever starts jobs."""
    for rights in rights_in_use(setting):
        yield from rights.run_jobs(setting)


def _pools_of_containers(setting: Setting) -> list[ObjectName]:
    """The folders in which containers have pools: those given for pools, and below models if containers are drivers."""
    searched = below(setting.models, _POOLS_OF_MODEL) if setting.search_containers else []
    return [*below(setting.pools, _POOLS), *searched]


def _drive_pools(setting: Setting, pools: list[ObjectName]) -> Iterator[Statement]:
    """Statements for a pool's driver: it makes and removes the pool's queues and folder."""
    if not pools:
        return
    queues = [setting.arn("sqs", _POOL_QUEUES)]
    own = ["sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueUrl", "sqs:TagQueue"]
    messages = ["sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"]
    yield allow("MakeQueuesOfPools", own, queues)
    yield allow("SendTasksAndReceiveResults", messages, queues)
    yield on_objects(setting, "KeepArgumentsOfPools", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], pools)
    yield on_objects(setting, "EndBrokenArguments", "s3:AbortMultipartUpload", pools)


def _work_in_pools(setting: Setting, pools: list[ObjectName]) -> Iterator[Statement]:
    """Statements for a pool's workers. They remove the pool if its driver is gone; with ``search_containers`` they
    make it.
    """
    if not pools:
        return
    queues = [setting.arn("sqs", _POOL_QUEUES)]
    messages = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"]
    making = ["sqs:CreateQueue", "sqs:TagQueue"] if setting.search_containers else []
    yield allow("FindAndRemoveQueuesOfPools", [*making, "sqs:DeleteQueue", "sqs:GetQueueUrl"], queues)
    yield allow("TakeTasksAndSendResults", messages, queues)
    yield on_objects(setting, "WorkInPools", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], pools)
    yield on_objects(setting, "EndBrokenResults", "s3:AbortMultipartUpload", pools)


def _run_statements(setting: Setting) -> Iterator[Statement]:
    """Statements for the Redshift Data API, with temporary credentials or a secret for the database user.

    The service defines no resource for running statements. The triggerer watches and cancels statements that a worker
    has started: hence there is no condition on the statement's owner.
    """
    api = setting.data_api
    if not (api.workgroups or api.clusters):
        return
    yield allow("RunStatements", "redshift-data:BatchExecuteStatement", [*api.workgroups, *api.clusters])
    watch = ["redshift-data:CancelStatement", "redshift-data:DescribeStatement", "redshift-data:GetStatementResult"]
    yield allow("WatchAndCancelStatements", watch, ["*"])
    databases = api.of_clusters("dbname", api.databases or ("*",))
    if not api.secrets:
        yield allow("SignInToWorkgroups", "redshift-serverless:GetCredentials", api.workgroups)
    if api.users:
        users = api.of_clusters("dbuser", api.users)
        yield allow("SignInToClustersAsUser", "redshift:GetClusterCredentials", [*users, *databases])
    elif not api.secrets:
        yield allow("SignInToClusters", "redshift:GetClusterCredentialsWithIAM", databases)
    yield allow("ReadSecrets", "secretsmanager:GetSecretValue", api.secrets)


def _read_on_both_sides(setting: Setting) -> list[ObjectName]:
    whole = [name for place in (*setting.data, *setting.models, *setting.ledgers) for name in place.objects()]
    staged = below(setting.staging, _UNLOADED, TABLES_LEDGER)
    return [*whole, *below(setting.destinations, ANY_LEDGER), *staged]


def _list(setting: Setting, names: Iterable[ObjectName]) -> Iterator[Statement]:
    """Statements that allow listing a bucket, limited to these names by a condition on the prefix.

    The right to list also lets S3 answer that an object does not exist. Without it, S3 answers that access is denied.
    """
    for number, (bucket, group) in enumerate(groupby(sorted(set(names)), key=lambda name: name[0]), 1):
        prefixes = {"StringLike": {"s3:prefix": widest(key for _, key in group)}}
        condition = None if setting.lists_whole_buckets else prefixes
        yield allow(f"ListFolders{number}", "s3:ListBucket", [f"arn:{setting.partition}:s3:::{bucket}"], condition)


def _use_keys(setting: Setting) -> Iterator[Statement]:
    """Statements that allow the KMS keys only through S3: the role cannot decrypt anything else with them."""
    domain = "amazonaws.com.cn" if setting.partition == "aws-cn" else "amazonaws.com"
    services = sorted({f"s3.{key.split(':')[3]}.{domain}" for key in setting.kms_keys})
    if setting.kms_keys:
        condition = {"StringEquals": {"kms:ViaService": services}}
        yield allow("UseKeysThroughS3", ["kms:Decrypt", "kms:GenerateDataKey"], setting.kms_keys, condition)


def _size(policy: Policy) -> int:
    return len(json.dumps(policy, separators=(",", ":")))
