"""``.pth`` files, zip and legacy, ``.safetensors`` and pickles of arrays: damaged, with other headers, and with pickles
that are hostile."""
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.gluon.models.weights.conversion import convert
from resnest.gluon.models.weights.tensor_files import read_tensors, safetensors_bytes

from .mutations import damaged_bytes, damaged_json, hostile_file

EXPECTED = Path(__file__).parents[1] / 'expected'
ZIP, LEGACY = ((EXPECTED / name).read_bytes() for name in ('tensors.pth', 'tensors_legacy.pth'))
SAFE = safetensors_bytes({'conv1.0.weight': np.zeros((2, 3, 3, 3), 'f4'), 'fc.bias': np.zeros(3, 'f4'),
                          'n': np.zeros((), '<i8')})
MEMBERS = {member.filename: zipfile.ZipFile(io.BytesIO(ZIP)).read(member)
           for member in zipfile.ZipFile(io.BytesIO(ZIP)).infolist()}
ARRAYS = [pickle.dumps({'model': {'conv1.0.weight': np.zeros((2, 3, 3, 3), 'f4'), 'fc.bias': np.asfortranarray(
    np.ones((3, 2))), 'n': np.array(3)}, 'score': np.float64(1)}, protocol) for protocol in range(2, 6)]
PICKLED = MEMBERS['tensors/data.pkl']
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2,
           zipfile.ZIP_LZMA)
OPERATIONS = [bytes([number]) for number in b'(.012FIJKLMNPQRSTUVXabcd}eghijlopqrstu)]\x80\x81\x82\x83\x84\x85\x86\x87'
              b'\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98']
# Doubles a tuple 60 times and takes it as a key; a slot of the memory with the number 2**32 - 1; a number of 8 MB; …
BOMBS = [b'\x80\x02}K\x01' + b'q\x00h\x00\x86' * 60 + b'K\x01s.',
         b'\x80\x02K\x01r\xff\xff\xff\xff.', b'\x80\x02\x8b\xff\xff\xff\x7f' + bytes(100), b'\x80\x02' + b'(' * 10 ** 6,
         b'\x80\x02' + b']' * 10 ** 5 + b'a' * (10 ** 5 - 1) + b'.', b'\x80\x04\x8d' + b'\xff' * 7 + b'\x7f.',
         b'\x80\x02cos\nsystem\nX\x05\x00\x00\x00touch\x85R.', b'\x80\x02cbuiltins\neval\n.',
         b'\x80\x02L' + b'9' * 10 ** 5 + b'L\n.', b'\x80\x02]q\x00' + b'h\x00a' * 1000 + b'.',
         b'\x80\x02' + b'ccollections\nOrderedDict\n)R' * 10 ** 4 + b'.', b'\x80\x02I' + b'9' * 10 ** 6 + b'\n.']


def case(rng, folder):
    path = folder / 'a.pth'
    kind = rng.integers(8)
    if kind == 0:
        hostile_file(rng, path)
    elif kind == 1:
        path.write_bytes(damaged_bytes(rng, [ZIP, LEGACY, SAFE, *ARRAYS][rng.integers(7)]))
    elif kind in (2, 3):
        length, = struct.unpack_from('<Q', SAFE)
        header = damaged_json(rng, SAFE[8:8 + length].decode())
        told = len(header) if rng.random() < 0.9 else int(rng.choice([0, 2 ** 31, 2 ** 62]))
        path.write_bytes(struct.pack('<Q', told) + header + SAFE[8 + length:])
    elif kind == 4:
        path.write_bytes(damaged_bytes(rng, BOMBS[rng.integers(len(BOMBS))], 1) if rng.random() < 0.5 else
                         LEGACY[:LEGACY.index(b'.') + 1] * 3 + BOMBS[rng.integers(len(BOMBS))])
    else:
        path.write_bytes(archive(rng))
    if rng.random() < 0.3:
        target = folder / 'b.params'
        try:
            convert(path, target, 'resnest14')
        except InputError:
            assert not target.exists(), 'half written'
            raise
        return
    total = sum(array.copy().nbytes for array in read_tensors(path).values())
    assert total <= 8 * path.stat().st_size


def archive(rng):
    """An archive with another pickle, other members, or packed and marked otherwise."""
    members = dict(MEMBERS)
    change = rng.integers(4)
    if change == 0:
        members['tensors/data.pkl'] = damaged_bytes(rng, PICKLED, 2)
    elif change == 1:
        members['tensors/data.pkl'] = BOMBS[rng.integers(len(BOMBS))]
    elif change == 2:
        pickled = bytearray(PICKLED)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(pickled)))
            pickled[place:place] = OPERATIONS[rng.integers(len(OPERATIONS))] + rng.bytes(rng.integers(3))
        members['tensors/data.pkl'] = bytes(pickled)
    else:
        name = str(rng.choice(list(members)))
        members[name] = damaged_bytes(rng, members[name] or b'x')
    buffer = io.BytesIO()
    method = METHODS[rng.integers(len(METHODS))]
    with zipfile.ZipFile(buffer, 'w', method) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    data = buffer.getvalue()
    return damaged_bytes(rng, data, 2) if rng.random() < 0.3 else data
