"""Making a run's page from what is stored, and storing it in the run's ledger.

The page is made when the run is planned, anew when a task fails, and at the commit. Making it never fails a task.
"""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_sklearn.contract.model import ModelManifest
from airflow_sklearn.contract.proof import Proof
from airflow_sklearn.exceptions import AirflowSklearnError, ObjectExistsError, ObjectNotFoundError
from airflow_sklearn.runs.attempts import read_attempts
from airflow_sklearn.runs.ledger import Ledger, read_plan
from airflow_sklearn.storage.uris import join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_sklearn.contract.plan import Plan
    from airflow_sklearn.contract.receipt import Receipt
    from airflow_sklearn.storage import Storage

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 2_000
#: Seconds between two pages of a run with failing tasks, for each of its chunks: 1,000 chunks wait for 50 s.
_PAUSE_OF_A_CHUNK = 0.05
_MADE = re.compile(rb'<meta name="made" content="([0-9T:+.-]{10,40})">')
_HEAD_BYTES = 1_000


def page_uri(ledger: str) -> str:
    """The URI of a run's page.

    :param ledger: the URI of the ledger's folder.
    """
    return join(ledger, "report.html")


def store_first_page(storage: Storage, plan: Plan, plan_uri: str, manifest: ModelManifest | None = None) -> None:
    """Store the page of a run that has just been planned, unless its ledger has a page.

    :param plan_uri: the plan's URI.
    :param manifest: the manifest of its model; None: it is read.
    """
    from airflow_sklearn.report.run_page import run_page

    try:
        if not storage.exists(page_uri(plan.ledger)):
            manifest = manifest or read_manifest(storage, plan)
            page = run_page(plan, {}, [], None, manifest, plan_uri=plan_uri)
            storage.create(page_uri(plan.ledger), page.encode())
    except ObjectExistsError:
        pass
    except Exception as error:
        _tell(error)


def store_page(
    storage: Storage,
    plan_uri: str,
    *,
    plan: Plan | None = None,
    receipts: Mapping[str, Receipt] | None = None,
    proof: Proof | None = None,
    failure: str = "",
) -> str:
    """Make a run's page, and store it.

    :param plan_uri: the plan's URI.
    :param plan: the plan, and ``receipts``, its valid receipts; None: they are read.
    :param proof: the run's proof; None: it is read, if it is there.
    :param failure: why a task that is not an attempt at a chunk has failed.
    :return: the page's URI; empty: it could not be made, which is logged.
    """
    try:
        plan = plan or read_plan(storage, plan_uri)
        page = make_page(storage, plan, plan_uri, receipts=receipts, proof=proof, failure=failure)
        storage.write(page_uri(plan.ledger), page.encode())
    except Exception as error:
        _tell(error)
        return ""
    return page_uri(plan.ledger)


def store_page_of_failure(storage: Storage, plan_uri: str, ledger: str) -> None:
    """Make a run's page anew after an attempt at a chunk has failed, unless another such task has just done so.

    :param ledger: the URI of the ledger's folder.
    """
    try:
        age = _age(storage, ledger)
        plan = read_plan(storage, plan_uri)
        if age is not None and age < _PAUSE_OF_A_CHUNK * len(plan.chunks):
            return
        store_page(storage, plan_uri, plan=plan)
    except Exception as error:
        _tell(error)


def make_page(
    storage: Storage,
    plan: Plan,
    plan_uri: str,
    *,
    receipts: Mapping[str, Receipt] | None = None,
    proof: Proof | None = None,
    failure: str = "",
) -> str:
    """A run's page from what is stored. See ``store_page``."""
    from airflow_sklearn.report.run_page import run_page

    ledger = Ledger(storage, plan.ledger)
    found = ledger.read_receipts(plan, check_parts=False) if receipts is None else receipts
    counted = {receipt.attempt for receipt in found.values()}
    attempts, left_out = read_attempts(storage, plan.ledger, counted, most=MOST_ATTEMPTS)
    proof_uri = ledger.proof_uri(plan.destination.uri, plan.partition)
    if proof is None and not failure:
        proof = _read_proof(storage, proof_uri, plan_uri)
    return run_page(
        plan,
        found,
        attempts,
        proof,
        read_manifest(storage, plan),
        plan_uri=plan_uri,
        proof_uri=proof_uri if proof else "",
        failure=failure,
        left_out=left_out,
    )


def read_manifest(storage: Storage, plan: Plan) -> ModelManifest | None:
    """The manifest of a run's model; None if it is not the one that the plan has pinned."""
    uri = plan.spec.model_manifest_uri
    try:
        data = storage.read(uri)
        if hashlib.sha256(data).hexdigest() != plan.spec.model_manifest_sha256:
            log.info("%s was changed after the run was planned: its page compares nothing with training.", uri)
            return None
        return ModelManifest.from_json(data, where=uri)
    except AirflowSklearnError as error:
        log.info("The run's page compares nothing with training: %s", error)
        return None


def _read_proof(storage: Storage, uri: str, plan_uri: str) -> Proof | None:
    """The proof of this very plan; None if there is none."""
    try:
        proof = Proof.from_json(storage.read(uri), where=uri)
    except AirflowSklearnError:
        return None
    return proof if not plan_uri or proof.plan_uri == plan_uri else None


def _age(storage: Storage, ledger: str) -> float | None:
    """Seconds since the run's page was made; None if there is none."""
    try:
        found = _MADE.search(storage.read(page_uri(ledger), end=_HEAD_BYTES))
    except ObjectNotFoundError:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(found[1].decode())).total_seconds() if found else None


def _tell(error: Exception) -> None:
    log.warning("The run's page could not be made: %s: %s", type(error).__name__, error)
