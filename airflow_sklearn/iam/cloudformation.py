"""The same as one CloudFormation template: the roles, and the policy for whatever Airflow runs as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_sklearn.iam.policies import Policy
    from airflow_sklearn.iam.setting import Setting


def template(setting: Setting, policies: dict[str, Policy]) -> dict[str, Any]:
    """:param policies: of ``all_policies``."""
    roles = {
        "TaskRole": _role(setting.task_role, "task", policies),
        "ExecutionRole": _role(setting.execution_role, "execution", policies),
    }
    if "redshift" in policies:
        roles["RedshiftRole"] = _role(setting.redshift_role, "redshift", policies)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"airflow-sklearn in the ECS cluster {setting.cluster}: roles, and a policy for Airflow",
        "Resources": {
            **roles,
            "AirflowPolicy": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": "What Airflow needs to run airflow-sklearn. Attach it to the identity of Airflow.",
                    "PolicyDocument": policies["airflow"],
                },
            },
        },
        "Outputs": {
            **{f"{name}Arn": {"Value": {"Fn::GetAtt": [name, "Arn"]}} for name in roles},
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
