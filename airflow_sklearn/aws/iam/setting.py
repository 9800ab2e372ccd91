"""The input of the policies: a cluster or EC2, the roles, and the folders that a project reads and writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: First letters of a region, and its partition. All other regions are of the partition ``aws``.
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
PARTITIONS = ("aws", *_PARTITIONS.values())

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ACCOUNT = re.compile(r"\d{12}")
_CLUSTER = re.compile(r"[A-Za-z0-9_-]{1,255}")
_FAMILY = re.compile(r"[A-Za-z0-9_-]{1,255}\*?")
_LOG_GROUP = re.compile(r"[A-Za-z0-9_./#-]{1,512}")
_ROLE = re.compile(r"([\x21-\x7e]+/)?[\w+=,.@-]{1,64}", re.ASCII)
_WORKGROUP = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REDSHIFT_CLUSTER = re.compile(r"[a-z][a-z0-9-]{0,62}")
_IN_DATABASE = re.compile(r"[\w.$+@-]{1,127}", re.ASCII)
_REPOSITORY = re.compile(r"[a-z0-9]+([._/-]+[a-z0-9]+)*")
_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+).*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ARN = re.compile(r"arn:(?P<partition>[\w-]+):(?P<service>[\w-]+):(?P<region>[\w-]*):(?P<account>\d*):(?P<name>.+)")
_WILD = re.compile(r"[*?\[]|\{\{|\{%|\$\{")
_WIDER = re.compile(r"[*?]|\$\{")  # IAM's wild cards and variables


#: Bucket and key. The key may have wild cards.
ObjectName = tuple[str, str]


class Place(NamedTuple):
    """A folder in S3, or one object."""

    bucket: str
    key: str
    """Without slashes at its ends; empty for the whole bucket."""
    is_folder: bool = True

    def below(self, *patterns: str) -> list[ObjectName]:
        """Names of objects below the folder. In IAM's patterns ``*`` matches any characters, slashes too, or none."""
        return [(self.bucket, f"{self.key}/{pattern}" if self.key else pattern) for pattern in patterns]

    def objects(self) -> list[ObjectName]:
        """Names of all objects below the folder, and of the object itself if the place may be one."""
        return [*([] if self.is_folder else [(self.bucket, self.key)]), *self.below("*")]


@dataclass(frozen=True)
class DataApi:
    """The databases that are reached through the Redshift Data API. Workgroups, clusters and secrets are ARNs."""

    workgroups: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    """Of clusters, by temporary credentials; none: the one that the IAM identity is."""
    databases: tuple[str, ...] = ()
    """Of clusters; none: all."""
    secrets: tuple[str, ...] = ()

    def of_clusters(self, kind: str, names: Sequence[str]) -> list[str]:
        """ARNs of database users (``dbuser``) or databases (``dbname``) in all clusters.

        :param kind: ``dbuser`` or ``dbname``.
        """
        return [cluster.replace(":cluster:", f":{kind}:") + f"/{name}" for cluster in self.clusters for name in names]


@dataclass(frozen=True)
class Setting:
    """The checked input of the policies. Roles, repositories and keys are ARNs.

    ``cluster`` is empty if no job runs on ECS, ``instance_role`` if none runs on EC2 instances. ``runtimes`` are the
    names of further registered runtimes that jobs run in.
    """

    partition: str
    region: str
    account: str
    cluster: str
    families: tuple[str, ...]
    log_group: str
    task_role: str
    execution_role: str
    repositories: tuple[str, ...]
    data: tuple[Place, ...] = ()
    models: tuple[Place, ...] = ()
    destinations: tuple[Place, ...] = ()
    ledgers: tuple[Place, ...] = ()
    staging: tuple[Place, ...] = ()
    """Between Redshift and the containers."""
    redshift_role: str = ""
    """That Redshift takes for UNLOAD and COPY."""
    data_api: DataApi = DataApi()
    pools: tuple[Place, ...] = ()
    """Folders of pools of containers, which joblib's tasks run in."""
    search_containers: bool = False
    """Whether train jobs fit in further containers, which they start themselves."""
    kms_keys: tuple[str, ...] = ()
    instance_role: str = ""
    """Of the instance profile of EC2 instances that are launched for jobs."""
    instance_log_group: str = ""
    runtimes: tuple[str, ...] = ()
    registers: bool = False
    """Whether task definitions are registered from Airflow (``EcsRuntime(task_definition={...})``)."""
    lists_whole_buckets: bool = False
    """Whether names in all of a bucket may be listed, not only below the folders."""

    def arn(self, service: str, name: str) -> str:
        """An ARN in this region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{name}"

    @property
    def cluster_arn(self) -> str:
        """The ARN of the ECS cluster."""
        return self.arn("ecs", f"cluster/{self.cluster}")


@dataclass
class _Reader:
    """Reads the command line's values, and collects all faults in them."""

    partition: str
    region: str
    account: str
    faults: list[str] = field(default_factory=list)

    def refuse_wild_cards(self, given: Mapping[str, Sequence[str]]) -> None:
        """Add a fault for each name with a wild card or a policy variable: it would allow more than was meant.

        Folders are checked by ``place``, whose message says what to give instead.
        """
        for option, texts in given.items():
            for text in texts:
                if found := _WIDER.search(text):
                    self.faults.append(f"{option} {text!r} has a wild card ({found[0]}) in it: name each one in full")

    def name(self, option: str, text: str, pattern: re.Pattern[str], what: str) -> str:
        if not pattern.fullmatch(text) and not _WIDER.search(text.removesuffix("*")):  # wild cards are named apart
            self.faults.append(f"{option} {text!r} is no {what}")
        return text

    def own_arn(self, option: str, text: str, service: str, kind: str, *, regional: bool = True) -> str | None:
        """The part after ``kind`` in an ARN of this account; None if the text is no ARN."""
        found = _ARN.fullmatch(text)
        if found is None:
            return None
        said, here = found.group("partition", "account"), (self.partition, self.account)
        if found["service"] != service or not found["name"].startswith(kind):
            self.faults.append(f"{option} {text} is not the ARN of a {kind.rstrip('/:')}")
        elif said != here or (regional and found["region"] != self.region):
            where = " ".join([*here, *([self.region] if regional else [])])
            self.faults.append(f"{option} {text} is of another account, region or partition than {where}")
        return found["name"].removeprefix(kind)

    def role(self, option: str, text: str) -> str:
        name = self.own_arn(option, text, "iam", "role/", regional=False)
        name = self.name(option, text if name is None else name, _ROLE, "role's name or ARN")
        return f"arn:{self.partition}:iam::{self.account}:role/{name.lstrip('/')}"

    def workgroup(self, text: str) -> str:
        """A Redshift Serverless workgroup. It must be given by id, because its ARN holds the id and not the name."""
        what = "workgroup's ARN or id (its name does not do: aws redshift-serverless get-workgroup tells the ARN)"
        return self._of_redshift("--data-api-workgroup", text, "redshift-serverless", "workgroup/", _WORKGROUP, what)

    def redshift_cluster(self, text: str) -> str:
        what = "cluster's identifier or ARN"
        return self._of_redshift("--data-api-cluster", text, "redshift", "cluster:", _REDSHIFT_CLUSTER, what)

    def _of_redshift(self, option: str, text: str, service: str, kind: str, pattern: re.Pattern[str], what: str) -> str:
        """The ARN of a Redshift resource. A given ARN may be in another region: the Data API has its own region
        argument.
        """
        name = self.own_arn(option, text, service, kind, regional=False)
        self.name(option, text if name is None else name, pattern, what)
        return text if name is not None else f"arn:{self.partition}:{service}:{self.region}:{self.account}:{kind}{text}"

    def secret(self, text: str) -> str:
        if self.own_arn("--data-api-secret", text, "secretsmanager", "secret:", regional=False) is None:
            self.faults.append(f"--data-api-secret {text!r} is not the ARN of a secret")
        return text

    def data_api(
        self,
        workgroups: Sequence[str],
        clusters: Sequence[str],
        users: Sequence[str],
        databases: Sequence[str],
        secrets: Sequence[str],
    ) -> DataApi:
        for option, names in (("--data-api-user", users), ("--data-api-database", databases)):
            if names and not clusters:
                self.faults.append(f"{option} goes with --data-api-cluster: a workgroup's user is the IAM identity")
        if secrets and not (workgroups or clusters):
            self.faults.append("--data-api-secret goes with --data-api-workgroup or --data-api-cluster")
        return DataApi(
            workgroups=_each(workgroups, self.workgroup),
            clusters=_each(clusters, self.redshift_cluster),
            users=_each(users, lambda text: self.name("--data-api-user", text, _IN_DATABASE, "user's name")),
            databases=_each(databases, lambda text: self.name("--data-api-database", text, _IN_DATABASE, "database")),
            secrets=_each(secrets, self.secret),
        )

    def repository(self, text: str) -> str:
        """The ARN of an image repository. One of another account must be given as an ARN or as an image's name."""
        image, arn = _IMAGE.fullmatch(text), _ARN.fullmatch(text)
        if arn is not None and arn["service"] == "ecr":
            return text
        region, account, name = image.group("region", "account", "name") if image else (self.region, self.account, text)
        self.name("--ecr-repository", name, _REPOSITORY, "repository's name, its ARN, or an image's name in ECR")
        return f"arn:{self.partition}:ecr:{region}:{account}:repository/{name}"

    def key(self, text: str) -> str:
        """The ARN of a KMS key. An alias is refused: policies can only name keys."""
        found = _ARN.fullmatch(text)
        if found is None or found["service"] != "kms" or not found["name"].startswith("key/"):
            self.faults.append(f"--kms-key {text!r} is not the ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID)")
        return text

    def place(self, option: str, text: str) -> Place:
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not _BUCKET.fullmatch(bucket):
            self.faults.append(f"{option} {text!r} is no s3://bucket/folder")
        elif found := _WILD.search(key):
            folder = key[: key.rfind("/", 0, found.start()) + 1]
            self.faults.append(f"{option} {text!r} has a wild card or a template in it: give s3://{bucket}/{folder}")
        elif "//" in key:
            self.faults.append(f"{option} {text!r} has an empty folder's name in it")
        return Place(bucket, key.strip("/"), is_folder=key.endswith("/") or not key)


def read_setting(
    *,
    region: str,
    account: str,
    cluster: str = "",
    ec2: bool = False,
    runtimes: Sequence[str] = (),
    partition: str | None = None,
    data: Sequence[str] = (),
    compared: Sequence[str] = (),
    models: Sequence[str] = (),
    destinations: Sequence[str] = (),
    ledgers: Sequence[str] = (),
    staging: Sequence[str] = (),
    families: Sequence[str] = ("airflow-sklearn*",),
    log_group: str = "/ecs/airflow-sklearn",
    task_role: str = "airflow-sklearn-task",
    execution_role: str = "airflow-sklearn-execution",
    redshift_role: str = "airflow-sklearn-redshift",
    instance_role: str = "airflow-sklearn-instance",
    instance_log_group: str = "/ec2/airflow-sklearn",
    repositories: Sequence[str] = ("airflow-sklearn-worker",),
    kms_keys: Sequence[str] = (),
    workgroups: Sequence[str] = (),
    clusters: Sequence[str] = (),
    users: Sequence[str] = (),
    databases: Sequence[str] = (),
    secrets: Sequence[str] = (),
    pools: Sequence[str] = (),
    search_containers: bool = False,
    registers: bool = False,
    lists_whole_buckets: bool = False,
) -> Setting:
    """Check the command line's values, and make ARNs of them.

    Parameters that are not listed are names, ARNs or ``s3://`` URIs, as the command's ``--help`` describes them.

    :param cluster: the ECS cluster, by name or ARN; empty: no job runs on ECS.
    :param ec2: whether jobs run on EC2 instances.
    :param runtimes: names of further registered runtimes that jobs run in.
    :param partition: such as ``aws-cn``; None: the region's.
    :raises UserError: there are faults; the message lists all of them.
    """
    own = next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")
    reader = _Reader(partition or own, region, account)
    reader.name("--region", region, _REGION, "region, such as eu-west-1")
    reader.name("--account", account, _ACCOUNT, "account: it has 12 digits")
    if reader.partition != own:
        reader.faults.append(f"--partition {partition} does not have the region {region}: it is in {own}")
    if search_containers and not models:
        reader.faults.append("--search-containers goes with --model: a train job's pools lie below its model's URI")
    if not (data or compared or models or destinations or ledgers or staging or pools):
        reader.faults.append(
            "no folder is given: give --data, --model and --destination, --staging for tables (each may be repeated)"
        )
    if not (cluster or ec2 or runtimes):
        reader.faults.append("nothing is said of where jobs run: give --cluster for ECS, --ec2 for instances, or both")
    cluster_name = reader.own_arn("--cluster", cluster, "ecs", "cluster/")
    if cluster:
        reader.name("--cluster", cluster_name or cluster, _CLUSTER, "cluster's name or ARN")

    def places(option: str, texts: Sequence[str]) -> tuple[Place, ...]:
        return _each(texts, lambda text: reader.place(option, text))

    def folders(option: str, texts: Sequence[str]) -> tuple[Place, ...]:
        return tuple(place._replace(is_folder=True) for place in places(option, texts))

    reader.refuse_wild_cards(
        {
            "--region": [region],
            "--account": [account],
            "--cluster": [cluster],
            "--task-definition": [family.removesuffix("*") for family in families],
            "--log-group": [log_group],
            "--task-role": [task_role],
            "--execution-role": [execution_role],
            "--redshift-role": [redshift_role],
            "--instance-role": [instance_role],
            "--instance-log-group": [instance_log_group],
            "--ecr-repository": repositories,
            "--kms-key": kms_keys,
            "--data-api-workgroup": workgroups,
            "--data-api-cluster": clusters,
            "--data-api-user": users,
            "--data-api-database": databases,
            "--data-api-secret": secrets,
        }
    )
    setting = Setting(
        partition=reader.partition,
        region=region,
        account=account,
        cluster=cluster_name or cluster,
        families=_each(
            families, lambda text: reader.name("--task-definition", text, _FAMILY, "family (one * at its end)")
        ),
        log_group=reader.name("--log-group", log_group, _LOG_GROUP, "log group's name"),
        task_role=reader.role("--task-role", task_role),
        execution_role=reader.role("--execution-role", execution_role),
        repositories=_each(repositories, reader.repository),
        data=tuple(dict.fromkeys([*places("--data", data), *places("--compared", compared)])),
        models=folders("--model", models),
        destinations=folders("--destination", destinations),
        ledgers=folders("--ledger", ledgers),
        staging=folders("--staging", staging),
        redshift_role=reader.role("--redshift-role", redshift_role),
        pools=folders("--pool", pools),
        search_containers=search_containers,
        data_api=reader.data_api(workgroups, clusters, users, databases, secrets),
        kms_keys=_each(kms_keys, reader.key),
        instance_role=reader.role("--instance-role", instance_role) if ec2 else "",
        instance_log_group=reader.name("--instance-log-group", instance_log_group, _LOG_GROUP, "log group's name"),
        runtimes=tuple(runtimes),
        registers=registers,
        lists_whole_buckets=lists_whole_buckets,
    )
    if reader.faults:
        raise UserError("No policies can be made:\n" + "\n".join(f"  - {fault}" for fault in reader.faults))
    return setting


def _each(texts: Sequence[str], read: Callable[[str], Any]) -> tuple[Any, ...]:
    """Read each text once, in order."""
    return tuple(dict.fromkeys(read(text) for text in texts))
