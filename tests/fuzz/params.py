"""``.params`` files, damaged, written anew with other numbers, or no files at all, into a network and by name."""
import struct

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.models import ResNet, VariantSpec, count_classes
from resnest.gluon.models.weights.parameters import load_parameters
from resnest.gluon.models.weights.params_file import read_arrays

from .mutations import NUMBERS, damaged_bytes, hostile_file

TYPES = ('float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64', 'bool', [('bfloat16', '<u2')])
NAMES = [b'fc.bias', b'arg:fc.bias', b'aux:fc.bias', b'', b'\xff\xfe', 'é'.encode(), b'a\nb', b'a' * 300,
         b'conv1.0.weight', b'\x00', b'..', b'arg:']


def _network():
    net = ResNet(VariantSpec('tiny', (1, 1, 1, 1), bottleneck_width=2, stem_width=2, radix=1), classes=3)
    net.initialize()
    return net


NET = _network()
SMALL = {'fc.bias': mx.nd.ones(3), 'conv1.0.weight': mx.nd.ones((2, 3, 3, 3))}


def case(rng, folder):
    path = folder / 'a.params'
    kind = rng.integers(6)
    if kind == 0:
        hostile_file(rng, path)
    elif kind == 1:
        NET.save_parameters(str(path))
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))
    elif kind == 2:
        mx.nd.save(str(path), {name: array.astype(np.dtype(TYPES[rng.integers(len(TYPES))]))
                               for name, array in SMALL.items()})
        path.write_bytes(damaged_bytes(rng, path.read_bytes(), 2))
    else:
        path.write_bytes(by_hand(rng))
    choice = rng.integers(4)
    if choice == 0:
        count_classes(path)
    elif choice == 1:
        before = NET.fc.bias.data().asnumpy()
        try:
            load_parameters(NET, path, other_classes=bool(rng.integers(2)))
        except InputError:
            assert (NET.fc.bias.data().asnumpy() == before).all(), 'half loaded'
            raise
    else:
        for array in read_arrays(path).values():
            assert array.nbytes <= path.stat().st_size
            array.copy()


def by_hand(rng):
    """A list of arrays with one or two numbers that are not what they should be."""
    wrong = rng.random() * 0.3

    def number(kind, value):
        if rng.random() < wrong:
            value = NUMBERS[rng.integers(len(NUMBERS))] * (1 if rng.random() < 0.8 else -1)
        size = struct.calcsize(kind)
        return (value % 256 ** size).to_bytes(size, 'little')

    count = int(rng.integers(4))
    data = [number('Q', 0x112), number('Q', 0), number('Q', count)]
    for _ in range(count):
        shape = [int(rng.integers(4)) for _ in range(rng.integers(5))]
        flag = int(rng.integers(13))
        magic = int(rng.choice([0xf993fac8, 0xf993fac9, 0xf993faca, len(shape)]))
        data.append(number('I', magic))
        if magic > 0xf993fac8:
            data.append(number('I', 0))
        if magic >= 0xf993fac8:
            data.append(number('I', len(shape)))
        data += [number('Q' if magic >= 0xf993fac8 else 'I', side) for side in shape]
        data += [number('I', 1), number('I', 0), number('I', flag)]
        data.append(bytes(int(np.prod(shape)) * (4, 8, 2, 1, 4, 1, 8, 1, 2, 2, 4, 8, 2)[flag]))
    data.append(number('Q', count))
    for _ in range(count):
        name = NAMES[rng.integers(len(NAMES))]
        data += [number('Q', len(name)), name]
    return b''.join(data)
