"""Damaged pictures of every format that Pillow writes, and of some that it only reads: the transforms of evaluation and
training behind the loader, the reading of loose pictures, the check and the shrinking of preparing.

What the check of preparing accepts, training and evaluation must be able to read, and they see what classifying sees.
"""
import contextlib
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import Evaluation, Loader, find_pictures, read_picture, training_transform
from resnest.gluon.data.images.rules import DECODINGS
from resnest.gluon.data.preparing.reencoding import BadImage, check, shrink

from .mutations import damaged_bytes, hostile_file

SIGNATURE = b'\x89PNG\r\n\x1a\n'
CHUNKS = [b'gAMA', b'cHRM', b'tRNS', b'iCCP', b'sRGB', b'pHYs', b'PLTE', b'tEXt', b'zTXt', b'iTXt', b'eXIf', b'acTL',
          b'fcTL', b'fdAT', b'IDAT', b'IHDR', b'IEND', b'sBIT', b'bKGD', b'prVt']


def samples():
    """Encoded pictures of 24 × 17 pixels, by name."""
    rng = np.random.default_rng(0)
    pixels = np.asarray(Image.fromarray(rng.integers(0, 255, (4, 5, 4), dtype=np.uint8)).resize((24, 17)))
    rgb = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    modes = {mode: rgb.convert(mode) for mode in ('RGB', 'L', '1', 'P', 'CMYK', 'LAB')}
    modes['RGBA'] = Image.fromarray(pixels)
    modes['LA'] = modes['RGBA'].convert('LA')
    for mode, kind in {'I;16': 'uint16', 'I': 'int32', 'F': 'float32'}.items():
        modes[mode] = Image.fromarray(pixels[..., 0].astype(kind) * (1 if mode == 'F' else 257))
    found = {}
    for name, mode, settings in _written():
        buffer = io.BytesIO()
        if settings.pop('orientation', None):
            settings['exif'] = Image.Exif()
            settings['exif'][0x0112] = 6
        if settings.pop('frames', None):
            settings.update(save_all=True, append_images=[modes[mode].rotate(90), modes[mode].rotate(180)])
        modes[mode].save(buffer, name, **settings)
        found[f'{len(found)}: {name} {mode}'] = buffer.getvalue()
    found['PNG of every chunk'] = png([
        (b'IHDR', struct.pack('>IIBBBBB', 24, 17, 8, 3, 0, 0, 0)), (b'gAMA', struct.pack('>I', 45455)),
        (b'cHRM', struct.pack('>8I', *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])), (b'sRGB', b'\0'),
        (b'iCCP', b'name\0\0' + zlib.compress(b'profile')), (b'PLTE', bytes(range(30))), (b'tRNS', b'\0\x80'),
        (b'tEXt', b'a\0b'), (b'zTXt', b'a\0\0' + zlib.compress(b'b')), (b'iTXt', b'a\0\1\0\0\0' + zlib.compress(b'b')),
        (b'IDAT', zlib.compress((b'\0' + bytes(range(8)) * 3) * 17)), (b'gAMA', struct.pack('>I', 45455)),
        (b'IEND', b'')])
    found['PNG RGB 16 bits'] = png([(b'IHDR', struct.pack('>IIBBBBB', 24, 17, 16, 2, 0, 0, 0)),
                                    (b'IDAT', zlib.compress((b'\0' + rng.bytes(24 * 6)) * 17)), (b'IEND', b'')])
    icon = io.BytesIO()
    modes['RGBA'].resize((16, 16)).save(icon, 'PNG')
    icon = icon.getvalue()
    found['ICNS'] = struct.pack('>4sI4sI', b'icns', 16 + len(icon), b'icp4', 8 + len(icon)) + icon
    found['QOI'] = b'qoif' + struct.pack('>IIBB', 24, 17, 4, 0) + bytes.fromhex(
        'fe102030 ff01020304 05 6a a377 fdfdfdfdfdfdfd 00000000000000 01')
    for code in (b'DXT1', b'DXT3', b'DXT5', b'ATI1', b'BC5S'):
        found[f'DDS {code.decode()}'] = (
            b'DDS ' + struct.pack('<7I44x', 124, 0x1007, 16, 16, 128, 0, 0)
            + struct.pack('<II4s5II16x', 32, 4, code, 0, 0, 0, 0, 0, 0x1000) + rng.bytes(256))
    found['XPM'] = b'/* XPM */\nstatic char *a[] = {\n"4 2 2 1",\n"a c #ff0000",\n"b c #00ff00",\n"abab",\n"baba"\n};\n'
    found['PPM P3'] = b'P3\n# text\n4 2\n255\n' + b'1 2 3 ' * 8
    found['PBM P1'] = b'P1 4 2 1 0 1 0 0 1 1 1'
    found['PSD'] = (b'8BPS' + struct.pack('>H6xHIIHH', 1, 3, 6, 4, 8, 3) + struct.pack('>III', 0, 0, 0)
                    + struct.pack('>H', 0) + rng.bytes(72))
    found['SUN'] = struct.pack('>8I', 0x59a66a95, 4, 2, 24, 24, 1, 0, 0) + rng.bytes(24)
    found['CUR'] = struct.pack('<HHHBBBBHHII', 0, 2, 1, 4, 4, 0, 0, 0, 0, 168, 22) + struct.pack(
        '<IIIHHIIIIII', 40, 4, 8, 1, 24, 0, 48, 0, 0, 0, 0) + rng.bytes(128)
    chunk = struct.pack('<IH', 54, 15) + b'\1\x10\x07' * 16
    found['FLI'] = (struct.pack('<I6HI', 198, 0xaf12, 1, 16, 16, 8, 3, 70).ljust(128, b'\0')
                    + struct.pack('<IHH8x', 70, 0xf1fa, 1) + chunk)
    found['EPS'] = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n'
    return found


def _written():
    """(format, mode, what to give to ``Image.save``)"""
    for mode in ('RGB', 'L', 'CMYK'):
        yield 'JPEG', mode, {}
    yield 'JPEG', 'RGB', {'progressive': True, 'restart_marker_rows': 1}
    yield 'JPEG', 'RGB', {'orientation': 6}
    for mode in ('RGB', 'RGBA', 'L', 'LA', 'P', '1', 'I;16', 'I'):
        yield 'PNG', mode, {}
    yield 'PNG', 'P', {'transparency': 3}
    yield 'PNG', 'RGB', {'transparency': (1, 2, 3), 'orientation': 6}
    yield 'PNG', 'RGB', {'frames': True}
    yield 'GIF', 'P', {'frames': True, 'transparency': 3}
    yield 'GIF', 'L', {'interlace': 1}
    for mode in ('RGB', 'P', '1', 'RGBA'):
        yield 'BMP', mode, {}
    for mode in ('RGB', 'RGBA', 'L', 'P', 'CMYK', 'LAB', 'I;16', 'I', 'F', '1'):
        yield 'TIFF', mode, {}
    for packing in ('tiff_lzw', 'tiff_adobe_deflate', 'packbits', 'jpeg'):
        yield 'TIFF', 'RGB', {'compression': packing}
    yield 'TIFF', '1', {'compression': 'group4'}
    yield 'TIFF', 'RGB', {'frames': True, 'orientation': 6}
    for settings in ({}, {'lossless': True}, {'frames': True}, {'orientation': 6}):
        yield 'WEBP', 'RGBA', settings
    for mode in ('RGB', 'L', '1', 'I', 'F'):
        yield 'PPM', mode, {}
    for kind, mode in (('ICO', 'RGBA'), ('TGA', 'RGBA'), ('TGA', 'P'), ('PCX', 'RGB'), ('PCX', 'P'),
                       ('SGI', 'RGB'), ('IM', 'RGB'), ('IM', 'F'), ('JPEG2000', 'RGBA'), ('MSP', '1'), ('SPIDER', 'F'),
                       ('XBM', '1'), ('DDS', 'RGBA'), ('DIB', 'RGB'), ('BLP', 'P')):
        yield kind, mode, {}
    yield 'ICO', 'RGBA', {'bitmap_format': 'bmp', 'sizes': [(16, 12)]}
    yield 'TGA', 'RGB', {'compression': 'tga_rle'}


def png(chunks):
    return SIGNATURE + b''.join(struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
                                for kind, data in chunks)


def damaged_png(rng, data):
    """A PNG with other chunks, whose check sums are right."""
    chunks, place = [], len(SIGNATURE)
    while place < len(data):
        length, = struct.unpack_from('>I', data, place)
        chunks.append((data[place + 4:place + 8], data[place + 8:place + 8 + length]))
        place += 12 + length
    for _ in range(rng.integers(1, 4)):
        index = int(rng.integers(len(chunks)))
        kind, body = chunks[index]
        change = rng.integers(5)
        if change == 0:
            chunks[index] = kind, damaged_bytes(rng, body, 2)
        elif change == 1:
            chunks[index] = kind, body[:rng.integers(len(body) + 1)]
        elif change == 2:
            chunks[index] = CHUNKS[rng.integers(len(CHUNKS))], body
        elif change == 3:
            new = CHUNKS[rng.integers(len(CHUNKS))]
            chunks.insert(index + int(rng.integers(2)), (new, rng.bytes(int(rng.choice([0, 1, 3, 4, 6, 13, 32, 768])))))
        else:
            chunks.insert(int(rng.integers(len(chunks) + 1)), chunks.pop(index))
    return png(chunks)


class Records:
    """A picture, and a good one."""

    def __init__(self, data, decoding):
        self.decoding = decoding
        self.encoded = data, GOOD

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.encoded[index], 0

    def where(self, index):
        return f'picture {index}'


SAMPLES = samples()
GOOD = SAMPLES['PNG RGB 16 bits']


def case(rng, folder):
    name = str(rng.choice([*SAMPLES]))
    data = SAMPLES[name]
    if rng.random() < 0.02:
        hostile_file(rng, folder / 'a.jpg')
        read_picture(find_pictures([folder / 'a.jpg'])[0], Evaluation(8))
        return
    if rng.random() < 0.02:
        pass
    elif data.startswith(SIGNATURE) and rng.random() < 0.7:
        data = damaged_png(rng, data)
    elif rng.random() < 0.5:        # most of what decides lies in the first bytes
        head = int(rng.integers(8, 200))
        data = damaged_bytes(rng, data[:head], 3) + data[head:]
    else:
        data = damaged_bytes(rng, data)
    with _silence():
        _read_everywhere(rng, folder, data)


def _read_everywhere(rng, folder, data):
    evaluation = Evaluation(int(rng.choice([2, 8, 30])))
    augment = str(rng.choice(['standard', 'autoaugment', 'randaugment']))
    decoding = str(rng.choice(DECODINGS))
    refused = [_refused(check, data), _refused(shrink, data, 12, 90, decoding)]
    (folder / 'a.jpg').write_bytes(data)
    loose = _refused(read_picture, folder / 'a.jpg', evaluation)
    for transform in (evaluation, training_transform(augment, 8)):
        seed = int(rng.integers(1000))
        workers = int(rng.choice([0, 2]))
        loader = Loader(Records(data, decoding), transform, [[0, 1]], 1, workers, seed=seed)
        refused.append(_refused(list, loader))
        skipping = Loader(Records(data, decoding), transform, [[0, 1]], 1, workers, seed=seed, skip_bad=True)
        (images, labels), = skipping
        # libtiff leaves what a damaged fax does not fill as it finds it in memory.
        comparable = decoding == 'upright' and not data.startswith((b'II', b'MM'))
        if transform is evaluation and comparable and not (loose or refused[-1]):
            assert (images[0] == read_picture(folder / 'a.jpg', evaluation)).all(), 'not what classifying sees'
        assert (len(images), len(skipping.skipped)) == (2, bool(refused[-1])), 'not skipped'
    assert refused[0] or not any(refused[2:]), f'accepted by the check, not by training: {refused}'
    problem = next(filter(None, [*refused, loose]), None)
    if problem:
        raise problem


def _refused(work, *args):
    try:
        work(*args)
    except (InputError, BadImage) as error:
        return error


@contextlib.contextmanager
def _silence():
    """Without what libtiff writes to the file behind stderr."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
