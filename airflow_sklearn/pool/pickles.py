"""Pickles whose large arrays stay outside of them, so that each array is stored, sent and held in memory once.

Pickle's protocol 5 hands out the buffers of numpy arrays, and of all that is made of them: frames, sparse matrices,
Arrow's columns. Functions that a module does not have (of a notebook, lambdas) travel by value (cloudpickle).
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import TYPE_CHECKING, Any

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PROTOCOL = 5


def dumps(thing: Any, *, keep_out: Callable[[memoryview, Any], bool] | None = None) -> bytes:
    """The pickle of ``thing``.

    :param keep_out: called with each buffer, as flat bytes, and the object that owns it; True: the buffer stays out of
        the pickle. It sees them in the order in which ``loads`` needs them.
    """
    file = io.BytesIO()

    def callback(buffer: pickle.PickleBuffer) -> bool:
        # A true answer takes the buffer into the pickle.
        return keep_out is None or not keep_out(buffer.raw(), memoryview(buffer).obj)

    _Pickler(file, protocol=_PROTOCOL, buffer_callback=callback).dump(thing)
    return file.getvalue()


def loads(data: bytes, buffers: Sequence[Any] = ()) -> Any:
    """What was pickled.

    :param buffers: those that were kept out, in their order.
    """
    return pickle.loads(data, buffers=buffers)


class _Pickler(cloudpickle.Pickler):
    """Also of arrays that are not contiguous in memory, or are mapped files, the buffer is handed out."""

    def reducer_override(self, obj: Any) -> Any:
        numpy = sys.modules.get("numpy")  # where it is not imported, there is no array
        if numpy is not None and isinstance(obj, numpy.ndarray) and not obj.dtype.hasobject:
            if type(obj) is numpy.memmap:
                return _itself, (obj.view(numpy.ndarray),)
            if type(obj) is numpy.ndarray and not obj.flags.forc:
                return _itself, (numpy.ascontiguousarray(obj),)
        return super().reducer_override(obj)


def _itself(array: Any) -> Any:
    return array
