"""Large arrays among the arguments of tasks: each is hashed and stored once, however many tasks use it."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_sklearn.pool import pickles

if TYPE_CHECKING:
    from airflow_sklearn.pool.blobs import BlobWriter
    from airflow_sklearn.pool.messages import Blob, Payload

_MOST_BUFFERS = 500  # stored buffers of one pickle: the message names all of them, and its size is limited
_KEPT_ALIVE = 32  # buffers of libraries other than numpy, which do not tell when they free memory


class Arguments:
    """Pickles tasks for one pool.

    Within one call of ``joblib.Parallel`` an array is hashed when it is first seen: sixty fits hash their matrix once.
    If an array is changed in place during the call, its old content is sent, as with joblib's own processes.
    """

    def __init__(self, blobs: BlobWriter) -> None:
        self._blobs = blobs
        self._digests: OrderedDict[tuple[int, int], tuple[str, Any]] = OrderedDict()
        self._lock = threading.RLock()

    def payload(self, task: Any, max_nbytes: int | None, *, name: str) -> Payload:
        """The pickle of a task; its large arrays are stored.

        :param task: the task: a callable without arguments.
        :param max_nbytes: arrays of at least so many bytes are stored; None: none is.
        :param name: the name under which the pickle is stored if it is too large for a message.
        """
        kept_out: list[Blob] = []

        def keep_out(data: memoryview, owner: Any) -> bool:
            if max_nbytes is None or not data.nbytes or data.nbytes < max_nbytes or len(kept_out) == _MOST_BUFFERS:
                return False
            kept_out.append(self._blobs.store(data, self._digest(data, owner)))
            return True

        return self._blobs.payload(pickles.dumps(task, keep_out=keep_out), tuple(kept_out), name=name)

    def forget(self) -> None:
        """Forget all hashes: arrays may have been changed since."""
        with self._lock:
            self._digests.clear()

    def _digest(self, data: memoryview, owner: Any) -> str:
        numpy_array = _root(owner)
        address = _address(data)
        with self._lock:
            known = self._digests.get(address)
            if known is not None:
                return known[0]
        digest = sha256(data).hexdigest()
        with self._lock:
            if numpy_array is not None:  # when the memory is freed, another array may get its address
                self._digests[address] = digest, weakref.ref(numpy_array, lambda _: self._drop(address))
            else:
                self._digests[address] = digest, owner
                self._let_go_of_the_oldest()
        return digest

    def _drop(self, address: tuple[int, int]) -> None:
        with self._lock:
            self._digests.pop(address, None)

    def _let_go_of_the_oldest(self) -> None:
        held = [key for key, (_, keeper) in self._digests.items() if not isinstance(keeper, weakref.ref)]
        for key in held[:-_KEPT_ALIVE]:
            del self._digests[key]


def _root(owner: Any) -> Any:
    """The numpy array that owns the memory; None if another library owns it."""
    import numpy as np

    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner if isinstance(owner, np.ndarray) else None


def _address(data: memoryview) -> tuple[int, int]:
    import numpy as np

    return np.frombuffer(data, np.uint8).ctypes.data, data.nbytes
