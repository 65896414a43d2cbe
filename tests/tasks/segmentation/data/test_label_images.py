"""Maps keep every value, whatever they are stored as; what would change one is refused."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data.images.decoding import BadImage
from resnest.gluon.tasks.segmentation.data.label_images import read_values

from ....fuzz.images import png

VALUES = np.random.default_rng(0).integers(0, 256, (7, 9), dtype=np.uint8)


def saved(image, kind='PNG', **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def with_palette(values):
    image = Image.fromarray(values)
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


def few_bits(values, depth, kind):
    """A PNG written by hand: Pillow multiplies grey of 2 and 4 bits when it reads."""
    rows = b''.join(b'\0' + np.packbits(np.unpackbits(row[:, None], axis=1)[:, -depth:].ravel()).tobytes()
                    for row in values)
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', *values.shape[::-1], depth, kind, 0, 0, 0)),
              *([(b'PLTE', bytes(range(3 << depth)))] if kind == 3 else []), (b'IDAT', zlib.compress(rows)),
              (b'IEND', b'')]
    return png(chunks)


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'TIFF'])
@pytest.mark.parametrize('make', [Image.fromarray, with_palette])
def test_grey_and_palettes(kind, make):
    values, orientation = read_values(saved(make(VALUES), kind), 'map')
    assert (values == VALUES).all()
    assert (values.dtype, orientation) == (np.uint8, 1)


@pytest.mark.parametrize('depth', [1, 2, 4])
@pytest.mark.parametrize('kind', [0, 3])
def test_fewer_bits(depth, kind):
    values = VALUES % (1 << depth)
    assert (read_values(few_bits(values, depth, kind), 'map')[0] == values).all()


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_sixteen_bits(kind):
    wide = np.random.default_rng(0).integers(0, 1 << 16, (7, 9)).astype(np.uint16)
    assert (read_values(saved(Image.fromarray(wide), kind), 'map')[0] == wide).all()


def test_a_palette_with_a_transparent_colour_keeps_its_indices():
    assert (read_values(saved(with_palette(VALUES), transparency=3), 'map')[0] == VALUES).all()


@pytest.mark.parametrize('image, kind, wanted', [
    (Image.fromarray(VALUES), 'JPEG', 'JPEG'), (Image.fromarray(VALUES).convert('RGB'), 'PNG', 'RGB'),
    (Image.fromarray(VALUES).convert('LA'), 'PNG', 'LA'),
    (Image.fromarray(VALUES.astype(np.float32)), 'TIFF', 'F')])
def test_what_would_change_labels_is_refused(image, kind, wanted):
    with pytest.raises(BadImage, match=rf'^a map: .*\b{wanted}\b'):
        read_values(saved(image, kind), 'a map')


def test_a_damaged_map_is_refused():
    for data in (b'', b'no map', saved(Image.fromarray(VALUES))[:60]):
        with pytest.raises(BadImage):
            read_values(data, 'a map')


@pytest.mark.parametrize('values', [VALUES, VALUES.astype(np.uint16) * 257, VALUES > 99])
def test_exif_turns_a_map_under_the_rule_that_turns_images(values):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(values), exif=exif)
    assert (read_values(data, 'map')[0] == values).all()
    found, orientation = read_values(data, 'map', 'upright')
    assert (found == np.rot90(values, -1)).all()
    assert orientation == 6
