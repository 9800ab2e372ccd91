"""Finding what a destination's ledgers no longer need, and removing it.

A ledger is judged by documents and by the storage's clock alone. Nothing is removed

- of a ledger in which an object was written within the given age: a run may be in flight;
- of a ledger whose partition is being published, or whose documents cannot be read or name another destination;
- that a published folder's manifest leads to: its proof, plan, receipts and quarantined rows stay.

What goes: ledgers that no manifest leads to, whole; and in the others the parts that no receipt names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_sklearn.contract.data import OutputFiles
from airflow_sklearn.contract.receipt import Receipt
from airflow_sklearn.datasets.folder_lock import LOCK_NAME
from airflow_sklearn.datasets.publish_files import read_published
from airflow_sklearn.datasets.run_catalog import ledger_root, ledgers_below, plans_of
from airflow_sklearn.exceptions import DocumentError, StorageError, UserError
from airflow_sklearn.storage import join

if TYPE_CHECKING:
    from airflow_sklearn.datasets.run_catalog import LedgerFolder
    from airflow_sklearn.storage import Storage

#: A job may write nothing for a day: the operators' default deadline.
LEAST_AGE = timedelta(days=2)
DEFAULT_AGE = timedelta(days=30)

_FIRST_GONE = ("proofs", "receipts", "plans")


@dataclass(frozen=True)
class Judged:
    """What may be removed of one ledger.

    :param uri: the ledger.
    :param size: the bytes of the whole ledger.
    :param reason: why it stays, or why something goes.
    :param whole: whether the whole ledger goes.
    :param removable: bytes by object that would be removed.
    """

    uri: str
    size: int
    reason: str
    whole: bool = False
    removable: dict[str, int] = field(default_factory=dict)

    @property
    def freed(self) -> int:
        """The bytes that would be freed."""
        return sum(self.removable.values())


def judge_ledgers(
    storage: Storage, destination: str, ledger: str | None = None, *, age: timedelta = DEFAULT_AGE
) -> list[Judged]:
    """Say for each ledger of a destination what may be removed. Nothing is changed.

    :param destination: the folder that predictions go to.
    :param ledger: the folder of ledgers, if plans name one.
    :param age: ledgers with a younger object stay.
    :raises UserError: the age is less than two days.
    """
    if age < LEAST_AGE:
        raise UserError(f"Ledgers younger than {LEAST_AGE.days} days may belong to a run in flight. Fix: a larger age.")
    root = ledger_root(destination, ledger)
    return [_judged(storage, one, destination, age) for one in ledgers_below(storage, root)]


def remove(storage: Storage, judged: Judged, *, age: timedelta = DEFAULT_AGE) -> int:
    """Remove what was judged to be removable, unless something was written to the ledger since.

    Receipts go before the parts that they name: a run that is planned meanwhile then computes its rows again.

    :return: the bytes that were freed.
    """
    if not judged.removable or not _is_old(storage, judged.uri, age):
        return 0

    def order(uri: str) -> int:
        folder = uri.removeprefix(f"{judged.uri}/").partition("/")[0]
        return _FIRST_GONE.index(folder) if folder in _FIRST_GONE else len(_FIRST_GONE)

    for step in range(len(_FIRST_GONE) + 1):
        storage.delete([uri for uri in judged.removable if order(uri) == step])
    return judged.freed


def _judged(storage: Storage, ledger: LedgerFolder, destination: str, age: timedelta) -> Judged:
    if storage.leads_out(ledger.uri, destination):
        return Judged(ledger.uri, ledger.size, "stays: it is a symbolic link that leads out of the destination")
    if not _is_old(storage, ledger.uri, age):
        return Judged(ledger.uri, ledger.size, f"stays: something was written in the last {age.days} days")
    try:
        fault, published = _use(storage, ledger, destination)
        if fault:
            return Judged(ledger.uri, ledger.size, f"stays: {fault}")
        if not published:
            return Judged(ledger.uri, ledger.size, "no published rows lead to it", True, dict(ledger.sizes))
        unnamed = _unnamed_parts(storage, ledger)
    except (DocumentError, StorageError, KeyError, ValueError) as error:
        return Judged(ledger.uri, ledger.size, f"stays: its documents cannot be read ({error})")
    reason = "its rows are published; no receipt names these parts" if unnamed else "stays: its rows are published"
    return Judged(ledger.uri, ledger.size, reason, False, unnamed)


def _use(storage: Storage, ledger: LedgerFolder, destination: str) -> tuple[str, bool]:
    """Why a ledger must stay as it is, or else whether a manifest leads to it."""
    plans = plans_of(storage, ledger)
    if not plans:
        return "it has no plan, so that nobody can say whose it is", False
    published = False
    for _, plan in plans:
        to = plan.destination
        if not isinstance(to, OutputFiles):
            return f"it loads the table {to.uri}, whose own log decides", False
        if to.uri != destination:
            return f"it belongs to the destination {to.uri}: clean that one", False
        folder = join(to.uri, plan.partition)
        if storage.exists(join(folder, LOCK_NAME)):
            return f"{folder} is being published, or a publication died: commit again", False
        manifest = read_published(storage, folder)
        published |= manifest is not None and manifest.proof_uri.startswith(join(ledger.uri, ""))
    return "", published


def _unnamed_parts(storage: Storage, ledger: LedgerFolder) -> dict[str, int]:
    """The parts that no receipt of the ledger names: outputs of attempts that came second."""
    named: set[str] = set()
    for name in ledger.names("receipts"):
        uri = join(ledger.uri, "receipts", name)
        receipt = Receipt.from_json(storage.read(uri), where=uri)
        named |= {part.uri for part in (*receipt.parts, *receipt.quarantine)}
    parts = (join(ledger.uri, "parts", name) for name in ledger.names("parts"))
    return {uri: ledger.sizes[uri] for uri in parts if uri not in named}


def _is_old(storage: Storage, ledger: str, age: timedelta) -> bool:
    changed = storage.last_change(join(ledger, ""))
    return changed is not None and datetime.now(UTC) - changed > age
