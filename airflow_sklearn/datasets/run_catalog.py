"""Finding runs by what is stored: below a destination, or by one of a run's documents. Nothing is changed."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.plan import Plan, PlanIndex
from airflow_sklearn.contract.proof import Proof, PublishedManifest
from airflow_sklearn.datasets.publish_files import MANIFEST_NAME, read_published
from airflow_sklearn.exceptions import DocumentError, ObjectNotFoundError, UserError
from airflow_sklearn.runs.ledger import Ledger, read_plan
from airflow_sklearn.runs.prediction import LEDGER_FOLDER
from airflow_sklearn.storage import join, parent

if TYPE_CHECKING:
    from airflow_sklearn.storage import Storage

_LOG = logging.getLogger(__name__)
_PLAN = re.compile(r"[0-9a-f]{32}\.json")
_LEDGER = re.compile(r"[0-9a-f]{32}")

RunState = Literal["published", "replaced", "proven", "complete", "incomplete"]


@dataclass
class LedgerFolder:
    """What one ledger holds, by a listing.

    :param uri: the ledger's folder.
    :param sizes: bytes by object, with their URIs.
    """

    uri: str
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The bytes of all objects."""
        return sum(self.sizes.values())

    def names(self, folder: str) -> list[str]:
        """The names of the objects in one folder of the ledger, such as ``receipts``; those below it are left out."""
        prefix = join(self.uri, folder, "")
        found = [uri.removeprefix(prefix) for uri in self.sizes if uri.startswith(prefix)]
        return [name for name in found if "/" not in name]

    @property
    def receipts(self) -> set[str]:
        """The ids of the chunks with a receipt."""
        return {name.removesuffix(".json") for name in self.names("receipts")}

    def plan_uris(self) -> list[str]:
        """The URIs of plans' documents, indexes among them."""
        return [join(self.uri, "plans", name) for name in self.names("plans") if _PLAN.fullmatch(name)]


@dataclass(frozen=True)
class KnownRun:
    """One run.

    :param plan_uri: the plan's URI, as ``SklearnPlanOperator`` returns it.
    :param plan: the plan.
    :param published: what the partition holds now, of this run or another; None: nothing, or it is no folder.
    :param done: the number of chunks with a receipt.
    :param is_proven: whether the run has a proof.
    """

    plan_uri: str
    plan: Plan
    published: PublishedManifest | None
    done: int
    is_proven: bool

    @property
    def state(self) -> RunState:
        """``published``: its rows are the partition's; ``replaced``: those of another run are. Else whether it has a
        proof, or all receipts.
        """
        if self.published is not None and self.published.fingerprint == self.plan.fingerprint:
            return "published"
        if self.is_proven:
            return "replaced" if self.published is not None else "proven"
        return "complete" if self.done == len(self.plan.chunks) else "incomplete"


def ledger_root(destination: str, ledger: str | None = None) -> str:
    """The folder that holds the ledgers of a destination's runs.

    :param ledger: the folder that plans name (``ledger=``); None: the default.
    """
    return ledger or join(destination, LEDGER_FOLDER)


def ledgers_below(storage: Storage, root: str) -> list[LedgerFolder]:
    """All ledgers in a folder.

    :param root: the result of ``ledger_root``.
    """
    found: dict[str, LedgerFolder] = {}
    prefix = join(root, "")
    for obj in storage.list(prefix):
        name = obj.uri.removeprefix(prefix).partition("/")[0]
        if _LEDGER.fullmatch(name):
            folder = found.setdefault(name, LedgerFolder(join(root, name)))
            folder.sizes[obj.uri] = obj.size
    return list(found.values())


def plans_of(storage: Storage, ledger: LedgerFolder) -> list[tuple[str, Plan]]:
    """The plans of a ledger with their URIs, the newest one first.

    :raises DocumentError: a plan was changed after it was made.
    """
    found = []
    for uri in ledger.plan_uris():
        if _is_plan_itself(storage, uri):
            continue  # its index stands for it; those of 0.1 have none
        found.append((uri, read_plan(storage, uri)))
    if not found:
        found = [(uri, read_plan(storage, uri)) for uri in ledger.plan_uris()]
    return sorted(found, key=lambda pair: pair[1].planned.at, reverse=True)


def list_runs(storage: Storage, destination: str, ledger: str | None = None) -> list[KnownRun]:
    """The runs of a destination, the newest first: one for each ledger and partition.

    A ledger that cannot be read is left out, with a warning.
    """
    runs = []
    for folder in ledgers_below(storage, ledger_root(destination, ledger)):
        newest: dict[tuple[str, str], tuple[str, Plan]] = {}
        try:
            for uri, plan in plans_of(storage, folder):
                newest.setdefault((plan.destination.uri, plan.partition), (uri, plan))
            runs += [_known(storage, uri, plan, folder) for uri, plan in newest.values()]
        except (DocumentError, ObjectNotFoundError) as error:
            _LOG.warning("%s is left out: %s", folder.uri, error)
    return sorted(runs, key=lambda run: run.plan.planned.at, reverse=True)


def find_run(storage: Storage, run: str) -> KnownRun:
    """A run by one of its documents.

    :param run: the URI of a plan, of a proof, of a ledger (its newest plan), or of a published partition's folder.
    :raises UserError: it is none of these.
    :raises ObjectNotFoundError: the run's documents are gone.
    :raises DocumentError: a document was changed after it was made.
    """
    uri = _plan_of(storage, run.rstrip("/"))
    if uri is None:
        raise UserError(
            f"{run} is no run. Fix: give a published partition's folder (it holds {MANIFEST_NAME}), a plan's URI "
            f"(.../plans/....json, as the plan task returned it), a proof's, or a ledger's folder "
            f"(.../{LEDGER_FOLDER}/<fingerprint>). `airflow-sklearn runs list DESTINATION` lists runs."
        )
    plan = read_plan(storage, uri)
    folder = LedgerFolder(plan.ledger, {obj.uri: obj.size for obj in storage.list(join(plan.ledger, ""))})
    return _known(storage, uri, plan, folder)


def _plan_of(storage: Storage, uri: str) -> str | None:
    """The URI of the plan to which a URI leads."""
    folder = parent(uri)
    if folder.endswith("/plans"):
        return uri
    if folder.endswith("/proofs"):
        return Proof.from_json(storage.read(uri), where=uri).plan_uri
    published = read_published(storage, uri.removesuffix(f"/{MANIFEST_NAME}"))
    if published is not None:
        where = published.proof_uri
        return Proof.from_json(storage.read(where), where=where).plan_uri
    listed = LedgerFolder(uri, {obj.uri: obj.size for obj in storage.list(join(uri, "plans", ""))})
    plans = plans_of(storage, listed)
    return plans[0][0] if plans else None


def _known(storage: Storage, uri: str, plan: Plan, folder: LedgerFolder) -> KnownRun:
    published = None
    if isinstance(plan.destination, OutputFiles):
        with contextlib.suppress(DocumentError):  # a manifest of another program, or of a newer version
            published = read_published(storage, join(plan.destination.uri, plan.partition))
    done = folder.receipts & {chunk.id for chunk in plan.chunks}
    proof = Ledger(storage, plan.ledger).proof_uri(plan.destination.uri, plan.partition)
    return KnownRun(uri, plan, published, len(done), proof in folder.sizes)


def _is_plan_itself(storage: Storage, uri: str) -> bool:
    return f'"format":"{PlanIndex.FORMAT}/'.encode() not in storage.read(uri)


def attempts_by_chunk(ledger: LedgerFolder) -> dict[str, list[str]]:
    """The URIs of the jobs of each chunk, in the order of their names: those with and those without a result."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(ledger.names("jobs")):
        if not name.endswith(Ledger.RESULT_ENDING):
            found[name.partition("-")[0]].append(join(ledger.uri, "jobs", name))
    return dict(found)
