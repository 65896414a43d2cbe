"""Pickles of ``torch.save``, read as data: tensors, NumPy's arrays, dicts, lists and plain values; no other object, and
no code.

A pickle is a program for a machine with a stack and a memory. Python's own machine calls what a pickle names, and a
short one can keep it busy for ever (keys that take 2**60 steps to hash) or fill its memory (a slot with the number
2**32). This machine knows what torch writes and no more. Each step takes a time and a room that the bytes of the
pickle pay for. The operations: https://github.com/python/cpython/blob/3.11/Lib/pickletools.py
"""
import io
import math
import pickletools
import struct
from typing import NamedTuple

from resnest.errors import InputError
from resnest.reading import one_line

from . import numpy_pickles
from .params_file import BFLOAT16, MOST_SIDES

__all__ = ['LARGEST', 'STORAGES', 'Storage', 'Tensor', 'read_pickle']

LARGEST = 4 << 20       # bytes of a pickle; that of resnest269 has 0.3 MB
MOST_BITS = 128         # of a whole number
STORAGES = {'DoubleStorage': '<f8', 'FloatStorage': '<f4', 'HalfStorage': '<f2', 'BFloat16Storage': BFLOAT16,
            'LongStorage': '<i8', 'IntStorage': '<i4', 'ShortStorage': '<i2', 'CharStorage': 'i1',
            'ByteStorage': 'u1', 'BoolStorage': '?'}
# What has the value beside its operation as its result.
VALUES = {'INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING',
          'SHORT_BINSTRING', 'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'BYTEARRAY8', 'UNICODE', 'BINUNICODE',
          'SHORT_BINUNICODE', 'BINUNICODE8'}
MAKERS = {'NONE': lambda: None, 'NEWTRUE': lambda: True, 'NEWFALSE': lambda: False, 'EMPTY_TUPLE': tuple,
          'EMPTY_LIST': list, 'EMPTY_DICT': dict}
DAMAGES = (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error)     # of what is no such program


class Storage(NamedTuple):
    """Where the elements of tensors lie: its name in the file, its type's name, and how many there are."""
    key: str
    kind: str
    count: int


class Tensor(NamedTuple):
    """A view of a storage; ``offset`` and ``strides`` are numbers of elements."""
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class _Name(NamedTuple):
    """What a pickle names, ``module.name``."""
    module: str
    name: str


def read_pickle(opened, most=LARGEST):
    """The value of the pickle that begins where ``opened`` is, and its storages: ``(value, {key: Storage})``.

    Afterwards ``opened`` is behind it. Raises InputError for one that is damaged, longer than ``most`` bytes, or names
    what is no part of a tensor or an array.
    """
    start, storages = opened.tell(), {}
    window = io.BytesIO(opened.read(most))
    try:
        value = _run(window, storages)
    except DAMAGES as error:
        raise InputError(f'truncated or damaged, or no file of tensors ({one_line(error)})') from None
    opened.seek(start + window.tell())
    return value, storages


def _run(window, storages):
    stack, marks, memory = [], [], {}

    def since_mark():
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    for operation, argument, _ in pickletools.genops(window):
        name = operation.name
        if name in VALUES:
            if isinstance(argument, int) and argument.bit_length() > MOST_BITS:
                raise ValueError(f'a number of {argument.bit_length()} bits')
            stack.append(argument)
        elif name in MAKERS:
            stack.append(MAKERS[name]())
        elif name in ('PUT', 'BINPUT', 'LONG_BINPUT'):
            memory[argument] = stack[-1]
        elif name == 'MEMOIZE':
            memory[len(memory)] = stack[-1]
        elif name in ('GET', 'BINGET', 'LONG_BINGET'):
            stack.append(memory[argument])
        elif name == 'MARK':
            marks.append(len(stack))
        elif name == 'TUPLE':
            stack.append(tuple(since_mark()))
        elif name in ('TUPLE1', 'TUPLE2', 'TUPLE3'):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ('SETITEM', 'SETITEMS'):
            items = since_mark() if name == 'SETITEMS' else [stack.pop(-2), stack.pop()]
            _fill(stack[-1], items)
        elif name in ('APPEND', 'APPENDS'):
            items = since_mark() if name == 'APPENDS' else [stack.pop()]
            _require(stack[-1], list).extend(items)
        elif name == 'GLOBAL':
            stack.append(_known(*argument.split(' ', 1)))
        elif name == 'STACK_GLOBAL':
            last, module = stack.pop(), stack.pop()
            stack.append(_known(_require(module, str), _require(last, str)))
        elif name == 'REDUCE':
            arguments, called = stack.pop(), stack.pop()
            stack.append(CALLED[_require(called, _Name)](*_require(arguments, tuple)))
        elif name == 'BUILD':
            state = stack.pop()
            if isinstance(stack[-1], numpy_pickles.Built):
                stack[-1].build(state)
            else:       # the version of a state_dict, as an attribute
                _require(stack[-1], dict)
        elif name == 'BINPERSID':
            storage = _storage(*_require(stack.pop(), tuple))
            if storages.setdefault(storage.key, storage) != storage:
                raise ValueError('two storages of one name')
            stack.append(storage)
        elif name == 'POP':
            stack.pop()
        elif name == 'STOP':
            return stack.pop()
        elif name not in ('PROTO', 'FRAME'):
            raise ValueError(f'{name} is not understood')


def _require(value, kind):
    if not isinstance(value, kind):
        raise ValueError(f'{type(value).__name__} in the place of {kind.__name__}')
    return value


def _fill(target, items):
    _require(target, dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in (str, int):
            raise ValueError(f'{type(key).__name__} as a key')
        target[key] = value


def _known(module, name):
    if _Name(module, name) not in CALLED and not (module == 'torch' and name in STORAGES):
        raise InputError(f'holds {one_line(module)}.{one_line(name)}, which is not a tensor; save the state_dict alone')
    return _Name(module, name)


def _storage(what, kind, key, _, count, view=None):
    if what != 'storage' or view is not None or _require(kind, _Name).name not in STORAGES:
        raise ValueError('a storage of an unknown form')
    return Storage(_require(key, str), kind.name, _natural(count))


def _tensor(storage, offset, shape, strides, *_):
    if len(_require(shape, tuple)) != len(_require(strides, tuple)) or len(shape) > MOST_SIDES:
        raise ValueError('as many strides as sides are wanted')
    _natural(math.prod(max(_natural(side), 1) for side in shape))
    return Tensor(_require(storage, Storage), _natural(offset), shape, tuple(map(_natural, strides)))


def _natural(value):
    """A whole number that a size in elements can be."""
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError('a tensor reaches beyond its storage')
    return value


# What a pickle may call, and what is done instead.
CALLED = {_Name('collections', 'OrderedDict'): lambda: {},
          _Name('torch', 'Size'): lambda sides: _require(sides, tuple),
          _Name('torch._utils', '_rebuild_tensor_v2'): _tensor,
          _Name('torch._utils', '_rebuild_parameter'): lambda tensor, *_: _require(tensor, Tensor),
          **{_Name(*name): called for name, called in numpy_pickles.CALLED.items()}}
