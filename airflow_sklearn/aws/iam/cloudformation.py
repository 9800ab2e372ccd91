"""The policies as one CloudFormation template with the roles, and the policy for Airflow's own role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_sklearn.aws.iam.policies import worker_policy
from airflow_sklearn.aws.iam.rights import rights_in_use

if TYPE_CHECKING:
    from airflow_sklearn.aws.iam.setting import Setting
    from airflow_sklearn.aws.iam.statements import Policy


def template(setting: Setting, policies: dict[str, Policy]) -> dict[str, Any]:
    """A CloudFormation template as a dict.

    :param setting: what the policies were made for.
    :param policies: the result of ``all_policies``.
    """
    of_runtimes = {
        name: role
        for rights in rights_in_use(setting)
        for name, role in rights.roles(setting, worker_policy(setting)).items()
    }
    arns = {**{name: role.arn for name, role in of_runtimes.items()}, "redshift": setting.redshift_role}
    roles = {f"{name.title()}Role": _role(arn, name, policies) for name, arn in arns.items() if name in policies}
    profile: dict[str, Any] = {}
    for name, role in of_runtimes.items():
        if role.has_instance_profile:
            properties = {"InstanceProfileName": role.arn.rpartition("/")[2], "Roles": [{"Ref": f"{name.title()}Role"}]}
            profile |= {f"{name.title()}Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": properties}}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "airflow-sklearn: the roles of its jobs, and a policy for Airflow",
        "Resources": {
            **roles,
            **profile,
            "AirflowPolicy": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": "What Airflow needs to run airflow-sklearn. Attach it to the identity of Airflow.",
                    "PolicyDocument": policies["airflow"],
                },
            },
        },
        "Outputs": {
            **{f"{name}Arn": {"Value": {"Fn::GetAtt": [name, "Arn"]}} for name in (*roles, *profile)},
            "AirflowPolicyArn": {"Value": {"Ref": "AirflowPolicy"}},
        },
    }


def _role(arn: str, policy: str, policies: dict[str, Policy]) -> dict[str, Any]:
    path, _, name = arn.partition(":role/")[2].rpartition("/")
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            **({"Path": f"/{path}/"} if path else {}),
            "AssumeRolePolicyDocument": policies[f"{policy}-trust"],
            "Policies": [{"PolicyName": f"airflow-sklearn-{policy}", "PolicyDocument": policies[policy]}],
        },
    }
