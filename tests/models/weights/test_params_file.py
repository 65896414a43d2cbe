"""The reader of ``.params`` files against mxnet's own, and on files that mxnet should not be given."""
import os
import struct

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.models import count_classes
from resnest.gluon.models.weights import params_file
from resnest.gluon.models.weights.params_file import BFLOAT16, read_arrays, read_shapes

DTYPES = ['float32', 'float64', 'float16', 'uint8', 'int32', 'int8', 'int64', 'bool', BFLOAT16]


def file_of(*arrays, names=None, magic=0x112, behind=b''):
    """A file by hand, of arrays in bytes."""
    names = [b'n%d' % number for number in range(len(arrays))] if names is None else names
    return (struct.pack('<QQQ', magic, 0, len(arrays)) + b''.join(arrays) + struct.pack('<Q', len(names)) +
            b''.join(struct.pack('<Q', len(name)) + name for name in names) + behind)


def array_of(shape=(2,), data=bytes(8), magic=0xf993fac9, storage=0, device=1, flag=0, sides=None):
    return (struct.pack('<Iii', magic, storage, len(shape) if sides is None else sides) +
            struct.pack(f'<{len(shape)}q', *shape) + struct.pack('<iii', device, 0, flag) + data)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_every_type_as_mxnet_reads_and_writes_it(tmp_path, dtype):
    path, again = str(tmp_path / 'a.params'), str(tmp_path / 'b.params')
    rng = np.random.default_rng(0)
    arrays = {f'{name}.é': mx.nd.array(rng.integers(0, 100, shape)).astype(dtype)
              for name, shape in (('one', (1,)), ('matrix', (3, 5)), ('five', (2, 1, 3, 1, 2)))}
    mx.nd.save(path, arrays)
    found = read_arrays(path)
    assert list(found) == list(arrays)
    assert read_shapes(path) == {name: value.shape for name, value in arrays.items()}
    for name, wanted in mx.nd.load(path).items():
        assert found[name].dtype == wanted.dtype
        np.testing.assert_array_equal(found[name], wanted.asnumpy())
    mx.nd.save(again, {name: mx.nd.array(array, dtype=array.dtype) for name, array in found.items()})
    assert (tmp_path / 'a.params').read_bytes() == (tmp_path / 'b.params').read_bytes()


def test_a_whole_network(tmp_path, tiny):
    net = tiny()
    net.initialize()
    net.save_parameters(str(tmp_path / 'a.params'))
    found = read_arrays(tmp_path / 'a.params')
    for name, param in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(found.pop(name), param.data().asnumpy())
    assert found == {}


def test_older_and_newer_forms(tmp_path):
    """What mxnet wrote before 1.0 (V1, and with the number of sides in the place of a magic), and for its NumPy."""
    values = np.arange(6, dtype='f4').reshape(2, 3)
    rest = struct.pack('<iii', 1, 0, 0) + values.tobytes()
    (tmp_path / 'old.params').write_bytes(file_of(
        struct.pack('<Iiqq', 0xf993fac8, 2, 2, 3) + rest, struct.pack('<III', 2, 2, 3) + rest))
    theirs = mx.nd.load(str(tmp_path / 'old.params'))
    for name, found in read_arrays(tmp_path / 'old.params').items():
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(theirs[name].asnumpy(), values)
    with mx.util.np_shape(True), mx.util.np_array(True):
        mx.npx.save(str(tmp_path / 'new.params'), {'number': mx.np.array(3.0), 'two': mx.np.ones((2,))})
    found = read_arrays(tmp_path / 'new.params')
    assert {name: (array.shape, array.sum()) for name, array in found.items()} == {'number': ((), 3), 'two': ((2,), 2)}


@pytest.mark.parametrize('data, wanted', [
    (b'', 'wanted'), (b'<html>' * 100, 'begins otherwise'), (file_of(magic=0x113), 'begins otherwise'),
    (struct.pack('<QQQ', 0x112, 0, 2 ** 64 - 1), 'arrays'), (struct.pack('<QQQ', 0x112, 0, 2 ** 20), 'are left'),
    (file_of(array_of((2 ** 40,))), 'are left'), (file_of(array_of((2 ** 40, 2 ** 40))), 'are left'),
    (file_of(array_of((2 ** 62, 4))), 'are left'), (file_of(array_of((-2, -1))), 'shape'),
    (file_of(array_of((0, 3), b'')), 'shape'), (file_of(array_of(sides=2 ** 31 - 1)), 'sides'),
    (file_of(array_of(sides=-1)), 'sides'), (file_of(array_of((), b'')), 'sides'),
    (file_of(array_of(storage=1)), 'sparse'), (file_of(array_of(flag=99)), 'type 99'),
    (file_of(array_of(device=77)), 'device 77'), (file_of(array_of(), names=[b'\xff\xfe']), 'UTF-8'),
    (file_of(array_of(), names=[]), 'save_parameters'), (file_of(array_of(), names=[b'a', b'b']), '2 names'),
    (file_of(array_of(), array_of(), names=[b'a', b'a']), 'twice'), (file_of(array_of(), behind=b'x'), 'behind'),
    (file_of(array_of())[:-1], 'left'), (file_of(array_of())[:-10] + struct.pack('<Q', 2 ** 63), 'name of'),
], ids=lambda value: value if isinstance(value, str) else '')
def test_damaged_files_are_refused_before_anything_is_allocated(tmp_path, data, wanted):
    path = tmp_path / 'a.params'
    path.write_bytes(data)
    with pytest.raises(InputError, match=wanted) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f'{path}: not a parameter file, or a truncated one (')


def test_every_beginning_of_a_file_is_refused(tmp_path):
    path, data = tmp_path / 'a.params', file_of(array_of(), array_of((1, 1), bytes(4)))
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            read_arrays(path)


@pytest.mark.parametrize('make', [
    lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to('/dev/zero'),
    lambda path: path.symlink_to(path), lambda path: path.open('wb').truncate(2 ** 40)])
def test_what_is_no_file_of_parameters(tmp_path, make):
    path = tmp_path / 'a.params'
    make(path)
    with pytest.raises(InputError, match=str(path)):
        read_arrays(path)


def test_classes_are_counted_without_reading_the_arrays(tmp_path, monkeypatch):
    path = str(tmp_path / 'a.params')
    mx.nd.save(path, {'fc.weight': mx.nd.zeros((7, 3)), 'fc.bias': mx.nd.zeros(7)})
    monkeypatch.setattr(params_file, '_array', None)
    assert count_classes(path) == 7
