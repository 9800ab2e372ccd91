"""The EC2 operations on instances, with what Amazon EC2 does around ministack's own, and what tests inject into them.

Sources: the Amazon EC2 API reference (RunInstances, DescribeInstances, TerminateInstances, GetConsoleOutput). Beside
EC2's own operations the port takes ``LocalCloud...`` ones from tests: ``LocalCloudRefuseRunInstances``,
``LocalCloudInterruptInstance`` and ``LocalCloudLaunchBlank``.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from local_cloud.aws_server.ec2 import machines

Params = dict[str, Any]
Answer = tuple[int, Any, Any]
USER_DATA_BYTES = 16_384
_lock = threading.Lock()
#: Tokens of RunInstances: one launch at a time for each. Others go on beside it: on a busy machine one takes a minute.
_launching: dict[str, threading.Lock] = {}
#: The request that came with a token, and the instance that it made.
_tokens: dict[str, tuple[Params, str]] = {}
_refusals: list[dict[str, Any]] = []
_blanks: list[str] = []  # types of which the next instance will not boot
_AUTHENTICATION = ("Version", "Action")


class RefusedError(Exception):
    """EC2 answers with an error."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def install() -> None:
    """Put ours in the place of ministack's, or around it."""
    run, xml, fits = ec2._ACTION_MAP["RunInstances"], ec2._instance_xml, ec2._matches_filters
    ours = {
        "RunInstances": lambda params: _run_instances(params, run),
        "TerminateInstances": _terminate_instances,
        "GetConsoleOutput": _get_console_output,
        "LocalCloudRefuseRunInstances": _refuse,
        "LocalCloudInterruptInstance": _interrupt,
        "LocalCloudLaunchBlank": _launch_blank,
    }
    for name, operation in ours.items():
        ec2._ACTION_MAP[name] = lambda params, operation=operation: _answered(operation, params)
    ec2._DOCKER_ACTIONS.add("LocalCloudInterruptInstance")
    ec2._instance_xml = lambda instance: _with_more(xml(instance), instance)
    ec2._matches_filters = lambda instance, filters: fits(instance, filters) and _fits(instance, filters)
    ec2._cleanup_terminated = lambda: None  # EC2 tells of ended instances for about an hour
    ec2._vm_reconcile_running = lambda _: None  # a thread sees the end of each
    ec2._probe_shell = lambda _: False  # nobody runs commands by SSM; and a container that answers late blocks nothing


def _answered(operation: Any, params: Params) -> Answer:
    try:
        answer: Answer = operation(params)
    except RefusedError as refused:
        answer = ec2._error(refused.code, refused.message, refused.status)
    return answer


def _run_instances(params: Params, theirs: Any) -> Answer:
    asked = _with_launch_template(params)
    for name in ("ImageId", "InstanceType"):
        if not ec2._p(asked, name):
            raise RefusedError("MissingParameter", f"The request must contain the parameter {name}")
    if ec2._registered_image(ec2._p(asked, "ImageId")) is None:
        raise RefusedError("InvalidAMIID.NotFound", f"The image id '[{ec2._p(asked, 'ImageId')}]' does not exist")
    user_data = machines.decoded(ec2._p(asked, "UserData"))
    if len(user_data.encode()) > USER_DATA_BYTES:
        raise RefusedError("InvalidParameterValue", f"User data is limited to {USER_DATA_BYTES} bytes")
    asked["SubnetId"] = [ec2._p(asked, "SubnetId") or ec2._p(asked, "NetworkInterface.1.SubnetId")]
    token = ec2._p(asked, "ClientToken")
    with _lock:
        launching = _launching.setdefault(token, threading.Lock()) if token else threading.Lock()
    with launching:  # two requests with one token at the same moment make one instance
        if token in _tokens:
            return _same_again(params, *_tokens[token])
        _raise_refusal(asked)
        status, headers, body = theirs(asked)
        if status != 200:
            return status, headers, body
        (instance_id,) = re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", body.decode())
        instance = ec2._instances[instance_id]
        instance["_token"] = token
        instance["_spot"] = ec2._p(asked, "InstanceMarketOptions.MarketType") == "spot"
        instance["_shutdown"] = ec2._p(asked, "InstanceInitiatedShutdownBehavior") or "stop"
        instance["_metadata"] = {
            name: ec2._p(asked, f"MetadataOptions.{name}") for name in ("HttpTokens", "HttpPutResponseHopLimit")
        }
        if token:
            _tokens[token] = (_comparable(params), instance_id)
    if instance["InstanceType"] in _blanks:
        _blanks.remove(instance["InstanceType"])
        user_data = ""
    machines.boot(instance, user_data)
    return _launched(instance)


def _same_again(params: Params, first: Params, instance_id: str) -> Answer:
    if _comparable(params) != first:
        raise RefusedError(
            "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with the first one"
        )
    return _launched(ec2._instances[instance_id])


def _launched(instance: dict[str, Any]) -> Answer:
    inner = f"<instancesSet>{ec2._instance_xml(instance)}</instancesSet><groupSet/>"
    return ec2._xml(200, "RunInstancesResponse", inner)


def _comparable(params: Params) -> Params:
    return {name: value for name, value in params.items() if name not in _AUTHENTICATION}


def _with_launch_template(params: Params) -> Params:
    """What the request does not say, its launch template does. Of a template, what instances here can have."""
    asked = dict(params)
    wanted = {name: ec2._p(params, f"LaunchTemplate.LaunchTemplate{name}") for name in ("Id", "Name")}
    if not any(wanted.values()):
        return asked
    for template in ec2._launch_templates.values():
        if wanted["Id"] == template["LaunchTemplateId"] or wanted["Name"] == template["LaunchTemplateName"]:
            data = template["Versions"][-1]["LaunchTemplateData"]
            for name in ("ImageId", "InstanceType", "KeyName"):
                if data.get(name) and not ec2._p(asked, name):
                    asked[name] = [data[name]]
            return asked
    raise RefusedError("InvalidLaunchTemplateName.NotFoundException", "The specified launch template does not exist.")


def _terminate_instances(params: Params) -> Answer:
    ids = ec2._parse_member_list(params, "InstanceId")
    for instance_id in ids:
        if instance_id not in ec2._instances:
            raise RefusedError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    for instance_id in ids:
        machines.end(ec2._instances[instance_id], machines.BY_SOMEBODY)
    states = "".join(
        f"<item><instanceId>{one}</instanceId><currentState><code>{ec2._instances[one]['State']['Code']}</code>"
        f"<name>{ec2._instances[one]['State']['Name']}</name></currentState></item>"
        for one in ids
    )
    return ec2._xml(200, "TerminateInstancesResponse", f"<instancesSet>{states}</instancesSet>")


def _get_console_output(params: Params) -> Answer:
    instance_id = ec2._p(params, "InstanceId")
    instance = ec2._instances.get(instance_id)
    if instance is None:
        raise RefusedError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
    output = base64.b64encode(machines.console(instance)).decode()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    inner = f"<instanceId>{instance_id}</instanceId><timestamp>{moment}</timestamp><output>{output}</output>"
    return ec2._xml(200, "GetConsoleOutputResponse", inner)


def _with_more(xml: str, instance: Mapping[str, Any]) -> str:
    """What ministack leaves out of an instance's description."""
    more = ""
    if reason := instance.get("_reason"):
        more += f"<stateReason><code>{reason[0]}</code><message>{reason[1]}</message></stateReason>"
    if instance.get("_spot"):
        more += "<instanceLifecycle>spot</instanceLifecycle>"
    if metadata := instance.get("_metadata"):
        limit = metadata["HttpPutResponseHopLimit"] or "1"
        more += f"<metadataOptions><httpTokens>{metadata['HttpTokens'] or 'optional'}</httpTokens>"
        more += f"<httpPutResponseHopLimit>{limit}</httpPutResponseHopLimit></metadataOptions>"
    head, _, _ = xml.rpartition("</item>")
    return f"{head}{more}<clientToken>{instance.get('_token', '')}</clientToken></item>"


def _fits(instance: Mapping[str, Any], filters: Mapping[str, list[str]]) -> bool:
    """Filters that ministack takes for none."""
    return all(instance["InstanceId"] in values for name, values in filters.items() if name == "instance-id")


# --- What tests inject ---


def _refuse(params: Params) -> Answer:
    """The next calls that ask for one of the types, on one of the markets, get an error."""
    _refusals[:] = [
        {
            "code": ec2._p(params, "Code"),
            "types": ec2._p(params, "Types").split(","),
            "market": ec2._p(params, "Market"),
            "left": int(ec2._p(params, "Times")),
        }
    ]
    return ec2._xml(200, "LocalCloudResponse", "")


def _raise_refusal(asked: Params) -> None:
    kind, market = ec2._p(asked, "InstanceType"), ec2._p(asked, "InstanceMarketOptions.MarketType") or "on-demand"
    with _lock:
        for refusal in _refusals:
            if refusal["left"] > 0 and kind in refusal["types"] and refusal["market"] in ("", market):
                refusal["left"] -= 1
                raise RefusedError(refusal["code"], f"We currently do not have sufficient {kind} capacity", 500)


def _launch_blank(params: Params) -> Answer:
    """The next instance of a type runs, and does nothing: no user data, no agent."""
    _blanks.append(ec2._p(params, "Type"))
    return ec2._xml(200, "LocalCloudResponse", "")


def _interrupt(params: Params) -> Answer:
    """As when AWS takes a Spot instance back."""
    machines.end(ec2._instances[ec2._p(params, "InstanceId")], machines.SPOT_TAKEN)
    return ec2._xml(200, "LocalCloudResponse", "")
