"""Files of PyTorch and safetensors that ask for what no file should get."""
import io
import json
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import pytest

from resnest.errors import InputError
from resnest.gluon.models.weights.tensor_files import read_tensors


def nothing():
    """An OrderedDict, as a pickle."""
    return b'ccollections\nOrderedDict\n)R'


@pytest.mark.parametrize('pickled', [
    b'\x80\x02}K\x01' + b'q\x00h\x00\x86' * 60 + b'K\x01s.', b'\x80\x02K\x01r\xff\xff\xff\xff.',
    b'\x80\x02' + b']' * 10 ** 5 + b'a' * (10 ** 5 - 1) + b'.', b'\x80\x02' + nothing() * 10 ** 4 + b'.',
    b'\x80\x02\x8b\xff\xff\xff\x7f' + bytes(1000), b'\x80\x04\x8d' + b'\xff' * 7 + b'\x7f.',
    b'\x80\x02' + b'(' * 10 ** 5, b'\x80\x02]q\x00' + b'h\x00a' * 10 ** 5 + b'.',
    b'\x80\x02\x8b' + struct.pack('<I', 10 ** 6) + b'\x01' * 10 ** 6 + b'.',
], ids=['hash', 'slot', 'depth', 'objects', 'number', 'text', 'marks', 'itself', 'long'])
def test_pickles_that_keep_a_machine_busy_or_fill_its_memory(pickled, tmp_path):
    """In a process with 1 GB on top of what it has; Python's own unpickler fails, or hangs, at most of them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('a/data.pkl', pickled)
    for name, data in (('zip.pth', buffer.getvalue()), ('legacy.pth', pickled)):
        (tmp_path / name).write_bytes(data)
        before = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
        try:
            with pytest.raises(InputError, match=name):
                read_tensors(tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


def expanded(shape, strides=None, kind=b'FloatStorage', count=4):
    """A state dict with one tensor, of this shape, of a storage of 4 numbers."""
    def integer(value):
        return b'\x8a\x10' + value.to_bytes(16, 'little', signed=True)

    def integers(values):
        return b'(' + b''.join(map(integer, values)) + b't'

    strides = [0] * len(shape) if strides is None else strides
    pickled = (b'\x80\x02' + nothing() + b'X\x01\x00\x00\x00a' +
               b'ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage' +
               b'ctorch\n' + kind + b'\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu' + integer(count) + b'tQ' + integer(0) +
               integers(shape) + integers(strides) + b'\x89' + nothing() + b'tRs.')
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('a/data.pkl', pickled)
        archive.writestr('a/data/0', bytes(16))
    return buffer.getvalue()


@pytest.mark.parametrize('content, wanted', [
    (expanded((2 ** 39,)), 'larger than the file'), (expanded((2 ** 20, 2 ** 20)), 'beyond its storage'),
    (expanded((2 ** 62, 4)), 'beyond its storage'), (expanded((-1,)), 'beyond its storage'),
    (expanded((0, 2 ** 62)), 'beyond its storage'), (expanded((2,), (-1,)), 'beyond its storage'),
    (expanded((2,), (2 ** 70,)), 'beyond its storage'), (expanded((1,) * 40), 'damaged'),
    (expanded((2, 2), (1,)), 'damaged'), (expanded((4,), (1,), count=5), 'shorter than its tensors tell'),
    (expanded((2,), kind=b'Size'), 'damaged')])
def test_tensors_of_impossible_shapes(content, wanted, tmp_path):
    (tmp_path / 'a.pth').write_bytes(expanded((2, 2), (2, 1)))
    assert read_tensors(tmp_path / 'a.pth')['a'].shape == (2, 2)
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(InputError, match=f'a.pth: .*{wanted}'):
        read_tensors(tmp_path / 'a.pth')


@pytest.mark.parametrize('entry', [
    {'dtype': 'F32', 'shape': [2 ** 40], 'data_offsets': [0, 2 ** 42]}, {'dtype': 'F32', 'shape': [-1, -1]},
    {'dtype': 'F32', 'shape': [-1, -1], 'data_offsets': [0, 4]}, {'dtype': 'F32', 'shape': 1, 'data_offsets': [0, 4]},
    {'dtype': 'F32', 'shape': [1], 'data_offsets': [-4, 0]}, {'dtype': 'F32', 'shape': [True], 'data_offsets': [0, 4]},
    {'dtype': ['F32'], 'shape': [1], 'data_offsets': [0, 4]}, {'dtype': 'F32', 'shape': [1.0], 'data_offsets': [0, 4]},
    {'dtype': 'F32', 'shape': [2 ** 32, 2 ** 32], 'data_offsets': [0, 0]}, None, [], 'x',
    {'dtype': 'F32', 'shape': [0, 2 ** 62], 'data_offsets': [0, 0]}, {'dtype': 'F32', 'shape': [1] * 40,
                                                                    'data_offsets': [0, 4]}])
def test_safetensors_headers_of_impossible_things(entry, tmp_path):
    header = json.dumps({'a\nb': entry}).encode()
    (tmp_path / 'a').write_bytes(struct.pack('<Q', len(header)) + header + bytes(4))
    with pytest.raises(InputError, match=r'a: .*damaged') as caught:
        read_tensors(tmp_path / 'a')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('header', [b'{' * 10 ** 6, b'{"a": ' * 10 ** 5, b'{"a": NaN}', b'{"\xff": 1}', b'{"a": 1'],
                         ids=range(5))
def test_safetensors_headers_that_are_no_json(header, tmp_path):
    (tmp_path / 'a').write_bytes(struct.pack('<Q', len(header)) + header)
    with pytest.raises(InputError, match=r'a: .*damaged'):
        read_tensors(tmp_path / 'a')
    (tmp_path / 'a').write_bytes(struct.pack('<Q', 2 ** 63) + header)
    with pytest.raises(InputError, match='a header of 9223372036854775808 bytes'):
        read_tensors(tmp_path / 'a')


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_packed_otherwise(method, tmp_path):
    """torch.save does not pack; a gigabyte of zeros would become a small file."""
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w', method) as archive:
        archive.writestr('a/data.pkl', pickle.dumps({}, 2))
    with pytest.raises(InputError, match='a.pth: damaged: data.pkl is compressed'):
        read_tensors(tmp_path / 'a.pth')
