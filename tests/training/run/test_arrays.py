"""The archive of a checkpoint against numpy's own, and what is not one."""
import io
import struct
import zipfile

import numpy as np
import pytest

from resnest.gluon.training.run.arrays import TYPES, Damaged, check_arrays, read_arrays, write_arrays

ARRAYS = {**{f'a/{kind[1:]}': np.arange(6).reshape(2, 3).astype(kind) for kind in TYPES}, 'scalar': np.array(3.5),
          'empty': np.zeros((0, 4), np.float16), 'é': np.frombuffer(b'abc', np.uint8)}
PLAIN = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)


def test_numpy_reads_what_is_written_and_the_other_way_round(tmp_path):
    write_arrays(tmp_path / 'ours', ARRAYS)
    with np.load(tmp_path / 'ours') as stored:
        assert_same({name: stored[name] for name in stored.files}, ARRAYS)
    np.savez(tmp_path / 'theirs.npz', **ARRAYS)
    for name in ('ours', 'theirs.npz'):
        assert_same(read_arrays((tmp_path / name).read_bytes()), ARRAYS)
        with open(tmp_path / name, 'rb') as opened:
            check_arrays(opened)
    assert all(array.flags.writeable for array in read_arrays((tmp_path / 'ours').read_bytes()).values())


def member(header, data=bytes(8), version=1, length=None):
    """A file of one array with a header of our own."""
    size = struct.pack('<H', len(header) if length is None else length)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w') as archive:
        archive.writestr('a.npy', b'\x93NUMPY' + bytes([version, 0]) + size + header + data)
    return packed.getvalue()


def test_a_plain_member_is_read():
    assert_same(read_arrays(member(PLAIN)), {'a': np.zeros(2, np.float32)})


@pytest.mark.parametrize('header', [
    PLAIN.replace(b'(2,)', b'(1000000000000,)'), PLAIN.replace(b'(2,)', b'(-2,)'), PLAIN.replace(b'(2,)', b'(3,)'),
    PLAIN.replace(b'(2,)', b'(' + b'99999999999999999, ' * 40 + b')'), PLAIN.replace(b'(2,)', b'(0x2,)'),
    PLAIN.replace(b'(2,)', b'(' + b'1, ' * 40 + b'2)'), PLAIN.replace(b'(2,)', b'2'), PLAIN.replace(b'False', b'True'),
    PLAIN.replace(b"'<f4'", b"'|O'"), PLAIN.replace(b"'<f4'", b"'>f4'"), PLAIN.replace(b"'<f4'", b"'<U2'"),
    PLAIN.replace(b"'<f4'", b"[('a', '<f4')]"), PLAIN.replace(b"'<f4'", b"'<f4'.lower()"), b'(' * 5000 + b'\n',
    b'{' * 60 + b'\n', b"__import__('os')\n", b'\xff\xfe\n', b'', b'\n', PLAIN + b'\0'],
                         ids=lambda header: header[10:40])
def test_headers_are_not_believed(header):
    """numpy would evaluate them, tokenize.TokenError and all, and allocate what they say."""
    with pytest.raises(Damaged, match=r'^a\.npy has'):
        read_arrays(member(header))


@pytest.mark.parametrize('data', [member(PLAIN, version=2), member(PLAIN, length=9), member(PLAIN, length=60000),
                                  member(PLAIN, data=bytes(7)), member(PLAIN, data=bytes(9)), member(PLAIN)[:-1], b'',
                                  b'PK\5\6', bytes(999)])
def test_damaged_files(data):
    with pytest.raises(Damaged) as caught:
        read_arrays(data)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_nothing_is_inflated(method):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', method) as archive:
        archive.writestr('a.npy', bytes(1 << 20))
    with pytest.raises(Damaged, match='not stored as it is'):
        read_arrays(packed.getvalue())


def patched(data, signature, offset, value, width):
    place = data.index(signature) + offset
    return data[:place] + value.to_bytes(width, 'little') + data[place + width:]


DIRECTORY, END = b'PK\1\2', b'PK\5\6'


@pytest.mark.parametrize('signature, offset, value, width', [
    (DIRECTORY, 8, 1, 2), (DIRECTORY, 10, 14, 2), (DIRECTORY, 20, 10 ** 9, 4), (DIRECTORY, 24, 10 ** 9, 4),
    (DIRECTORY, 42, 10 ** 9, 4), (END, 12, 2 ** 32 - 2, 4), (END, 16, 2 ** 32 - 2, 4)],
    ids=['encrypted', 'method', 'packed size', 'size', 'place', 'directory size', 'directory place'])
def test_numbers_of_the_archive_are_not_believed(signature, offset, value, width):
    data = patched(member(PLAIN), signature, offset, value, width)
    with pytest.raises(Damaged):
        read_arrays(data)


def test_members_over_each_other_and_doubled_names():
    data = member(PLAIN)
    start, end = data.index(DIRECTORY), data.index(END)
    for entry in (data[start:end].replace(b'a.npy', b'b.npy'), data[start:end]):
        both = data[:end] + entry + data[end:]
        for offset in (8, 10):
            both = patched(both, END, offset, 2, 2)
        both = patched(both, END, 12, 2 * (end - start), 4)
        with pytest.raises(Damaged):
            read_arrays(both)


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / 'x', 'w+b') as opened:
        opened.truncate(2 ** 40)
        with pytest.raises(Damaged, match='not a zip file'):
            check_arrays(opened)
        # Now with an end that says that the directory is all of it.
        opened.seek(0, io.SEEK_END)
        opened.write(struct.pack('<4sQ2H2I4Q', b'PK\6\6', 44, 45, 45, 0, 0, 1, 1, 2 ** 40, 0))
        opened.write(struct.pack('<4sIQI', b'PK\6\7', 0, 2 ** 40, 1))
        opened.write(struct.pack('<4s4H2IH', END, 0, 0, 2 ** 16 - 1, 2 ** 16 - 1, 2 ** 32 - 1, 2 ** 32 - 1, 0))
        with pytest.raises(Damaged, match='its directory is too large'):
            check_arrays(opened)
