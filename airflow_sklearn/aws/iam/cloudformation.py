"""The same as one CloudFormation template: the roles, and the policy for whatever Airflow runs as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_sklearn.aws.iam.policies import Policy
    from airflow_sklearn.aws.iam.setting import Setting


def template(setting: Setting, policies: dict[str, Policy]) -> dict[str, Any]:
    """:param policies: of ``all_policies``."""
    arns = {
        "task": setting.task_role,
        "execution": setting.execution_role,
        "instance": setting.instance_role,
        "redshift": setting.redshift_role,
    }
    roles = {f"{name.title()}Role": _role(arn, name, policies) for name, arn in arns.items() if name in policies}
    where = f"the ECS cluster {setting.cluster}" if setting.cluster else "EC2"
    profile: dict[str, Any] = {}
    if setting.instance_role:
        name = setting.instance_role.rpartition("/")[2]
        properties = {"InstanceProfileName": name, "Roles": [{"Ref": "InstanceRole"}]}
        profile = {"InstanceProfile": {"Type": "AWS::IAM::InstanceProfile", "Properties": properties}}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"airflow-sklearn in {where}: roles, and a policy for Airflow",
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
