"""NumPy's arrays in pickles, as Detectron2's ``.pkl`` files have them: what such a pickle may call, and what is done
instead. No array is made before the whole pickle has been read: what it claims can be compared with its size then."""
import math
from typing import NamedTuple

import numpy as np

from .params_file import MOST_SIDES

__all__ = ['CALLED', 'Built', 'PickledArray', 'to_arrays']

CODES = ('f8', 'f4', 'f2', 'i8', 'i4', 'i2', 'i1', 'u1', 'b1')
MODULES = ('numpy.core', 'numpy._core')     # before and since NumPy 2


class Latin(NamedTuple):
    """Bytes that were written as a text, as protocol 2 has them."""
    text: str


class Built:
    """What gets its content by a later step of the pickle."""

    def build(self, state):
        raise NotImplementedError


class PickledType(Built):
    """A type of elements, with their byte order."""

    def __init__(self, code, *_):
        if code not in CODES:
            raise ValueError(f'an array of {code}')
        self.code, self.order = code, '<'

    def build(self, state):
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '>', '|', '='):
            raise ValueError('an unknown byte order')
        self.order = state[1]


class PickledArray(Built):
    """An array: its shape, and its elements as bytes or as :class:`Latin`."""

    def __init__(self, *_):
        self.content = None

    def build(self, state):
        _, shape, kind, fortran, data = state
        self.fill(data, kind, shape, 'F' if fortran else 'C')
        return self

    def fill(self, data, kind, shape, order):
        if not isinstance(kind, PickledType) or not isinstance(data, (bytes, bytearray, Latin)) or \
                not isinstance(shape, tuple) or len(shape) > MOST_SIDES or order not in ('C', 'F') or \
                not all(type(side) is int and 0 <= side < 1 << 40 for side in shape):
            raise ValueError('an array of an unknown form')
        self.content = data, kind, shape, order
        return self

    @property
    def bytes(self):
        """How many there are by what the pickle tells."""
        if self.content is None:
            raise ValueError('an array without elements')
        _, kind, shape, _ = self.content
        return math.prod(shape) * int(kind.code[1:])

    def array(self):
        data, kind, shape, order = self.content
        if isinstance(data, Latin):
            data = data.text.encode('latin-1')
        if len(data) != self.bytes:
            raise ValueError('an array of another size than it tells')
        return np.frombuffer(data, np.dtype(kind.order + kind.code)).reshape(shape, order=order)


def to_arrays(pickled, size):
    """``{name: array}`` of ``{name: PickledArray}``, which may be no larger than ``size`` bytes together; raises
    ValueError for what is damaged."""
    if sum(each.bytes for each in pickled.values()) > size:
        raise ValueError('arrays that are larger than the file')
    return {name: each.array() for name, each in pickled.items()}


def _encoded(text, encoding):
    if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
        raise ValueError('bytes of an unknown form')
    return Latin(text)


def _no_bytes(*arguments):
    if arguments:
        raise ValueError('bytes of an unknown form')
    return b''


def _no_call(*_):
    raise ValueError('an array of an unknown form')


CALLED = {('numpy', 'dtype'): PickledType, ('numpy', 'ndarray'): _no_call, ('_codecs', 'encode'): _encoded,
          ('__builtin__', 'bytes'): _no_bytes, ('builtins', 'bytes'): _no_bytes}
for _module in MODULES:
    CALLED |= {(f'{_module}.multiarray', '_reconstruct'): PickledArray,
               (f'{_module}.multiarray', 'scalar'): lambda kind, data=None: None,
               (f'{_module}.numeric', '_frombuffer'): lambda *parts: PickledArray().fill(*parts)}
