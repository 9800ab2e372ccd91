"""Pickles without their large arrays, so that each array is stored, sent and held in memory once.

Pickle's protocol 5 (PEP 574) hands out the buffers of numpy arrays, and of everything made of them: frames, sparse
matrices, Arrow's columns. Functions that no module contains (notebooks, lambdas) are pickled by value (cloudpickle).
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
    """Pickle an object.

    :param thing: the object.
    :param keep_out: called with each buffer, as flat bytes, and the object that owns it. With True the buffer is left
        out of the pickle. ``loads`` needs these buffers in the order of the calls. None: no buffer is left out.
    """
    file = io.BytesIO()

    def callback(buffer: pickle.PickleBuffer) -> bool:
        # Pickle puts the buffer into the pickle if its callback returns a true value.
        return keep_out is None or not keep_out(buffer.raw(), memoryview(buffer).obj)

    _Pickler(file, protocol=_PROTOCOL, buffer_callback=callback).dump(thing)
    return file.getvalue()


def loads(data: bytes, buffers: Sequence[Any] = ()) -> Any:
    """The object that was pickled.

    :param buffers: the buffers that were left out, in order.
    """
    return pickle.loads(data, buffers=buffers)


class _Pickler(cloudpickle.Pickler):
    """A pickler that also hands out the buffers of arrays that are not contiguous, or are memory-mapped files."""

    def reducer_override(self, obj: Any) -> Any:
        numpy = sys.modules.get("numpy")  # if numpy is not imported, there is no array
        if numpy is not None and isinstance(obj, numpy.ndarray) and not obj.dtype.hasobject:
            if type(obj) is numpy.memmap:
                return _itself, (obj.view(numpy.ndarray),)
            if type(obj) is numpy.ndarray and not obj.flags.forc:
                return _itself, (numpy.ascontiguousarray(obj),)
        return super().reducer_override(obj)


def _itself(array: Any) -> Any:
    return array
