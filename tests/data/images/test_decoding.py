"""Whatever a decoder raises is a bad image with a name, at every door through which images come in."""
import io
import pickle
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile, TiffImagePlugin

from resnest.errors import InputError
from resnest.gluon.data import Evaluation, Loader, read_picture, training_transform
from resnest.gluon.data.images.decoding import BadImage, opened
from resnest.gluon.data.preparing.reencoding import check, shrink

from ...conftest import ROOT, encoded


def png(*chunks, mode=2, bits=8, size=(24, 17), rows=None):
    """A PNG whose check sums are right: its header, ``chunks``, and its end; ``None`` stands for the pixels."""
    width = (size[0] * bits * {0: 1, 2: 3, 3: 1}[mode] + 7) // 8
    rows = rows if rows is not None else bytes(width) * size[1]
    lines = b''.join(b'\0' + rows[start:start + width] for start in range(0, len(rows), width))
    named = [(b'IHDR', struct.pack('>IIBBBBB', *size, bits, mode, 0, 0, 0)),
             *((b'IDAT', zlib.compress(lines)) if chunk is None else chunk for chunk in chunks), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in named)


def dds(flags=0x41, size=(24, 17), masks=(0xff, 0xff00, 0xff0000, 0xff000000)):
    return (b'DDS ' + struct.pack('<7I44x', 124, 0x100f, size[1], size[0], 96, 0, 0)
            + struct.pack('<IIII4II16x', 32, flags, 0, 32, *masks, 0x1000) + bytes(24 * 17 * 4))


BAD = {
    'gAMA of a byte': (png(None, (b'gAMA', b'\0')), struct.error),
    'gAMA of none': (png(None, (b'gAMA', b'')), struct.error),
    'cHRM of a byte': (png(None, (b'cHRM', b'\0')), struct.error),
    'tRNS of a byte': (png(None, (b'tRNS', b'\0')), struct.error),
    'tRNS of grey': (png(None, (b'tRNS', b''), mode=0), struct.error),
    'iCCP of none': (png(None, (b'iCCP', b'')), IndexError),
    'iCCP that is packed otherwise': (png(None, (b'iCCP', b'x\0\1')), SyntaxError),
    'QOI that ends': (b'qoif' + struct.pack('>IIBB', 24, 17, 4, 0) + b'\xfe\1\2\3', IndexError),
    'DDS of no kind': (dds(0), NotImplementedError), 'DDS of another code': (dds(4), NotImplementedError),
    'DDS without a channel': (dds(masks=(0xff, 0, 0xff0000, 0)), ZeroDivisionError),
    'too many pixels': (png(None, size=(2 ** 31 - 1, 2 ** 31 - 1), rows=b''), Image.DecompressionBombError),
    'text': (b'text', OSError), 'nothing': (b'', OSError), 'PNG without pixels': (png(), OSError),
}
TRANSFORMS = {'evaluation': Evaluation(8), **{name: training_transform(name, 8) for name in (
    'standard', 'autoaugment', 'randaugment')}}


class Records:
    decoding = 'upright'

    def __init__(self, *encoded):
        self._encoded = encoded

    def __len__(self):
        return len(self._encoded)

    def __getitem__(self, index):
        return self._encoded[index], index

    def where(self, index):
        return f'shard, record {index}'


@pytest.mark.parametrize('name', BAD)
def test_a_bad_image_is_named_at_every_door(name, tmp_path):
    data, cause = BAD[name]
    (tmp_path / 'a.png').write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_picture(tmp_path / 'a.png', Evaluation(8))
    assert str(caught.value).startswith(f'{tmp_path / "a.png"}: not a readable image (')
    assert isinstance(caught.value.__cause__, cause)
    for work in (lambda: check(data, 'x'), lambda: shrink(data, 8, 90, 'upright', 'x')):
        with pytest.raises(BadImage, match=r'^x: not a readable image \(.+\)$'):
            work()
    for transform in TRANSFORMS.values():
        with pytest.raises(InputError, match=r'^shard, record 0: not a readable image \(.+\); remove .* --skip-bad$'):
            list(Loader(Records(data), transform, [[0]], 1, workers=0))


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('name', TRANSFORMS)
def test_training_goes_on_with_skip_bad(name, workers):
    good = encoded(np.zeros((9, 9, 3), np.uint8))
    records = Records(*(data for data, _ in BAD.values()), good)
    indices = np.arange(len(records))
    loader = Loader(records, TRANSFORMS[name], [indices], len(records), workers, skip_bad=True)
    (images, labels), = loader
    assert images.shape == (len(records), 8, 8, 3)
    assert labels.tolist() == [len(BAD)] * len(records)
    assert sorted({message.split(':')[0] for message in loader.skipped}) == sorted(
        f'shard, record {index}' for index in range(len(BAD)))


def test_one_module_opens_images_and_knows_what_pillow_raises():
    words = re.compile(r'Image\.open\(|LOAD_TRUNCATED_IMAGES|UnidentifiedImageError|DecompressionBomb|im(read|decode)')
    users = {path.name for folder in ('resnest', 'scripts') for path in (ROOT / folder).rglob('*.py')
             if words.search(path.read_text())}
    assert users == {'decoding.py', 'pipelines.py'}      # the latter times Pillow's calls alone, on its own images


def test_what_the_block_raises_is_the_images_fault():
    """Pillow decodes as late as in the transform; an InputError is another's word and stays what it is."""
    good = encoded(np.zeros((4, 4, 3), np.uint8))
    for error, told in ((zlib.error('x'), 'zlib.error: x'),
                        (KeyError(3), 'KeyError: 3'), (EOFError(), 'EOFError'), (OSError('cut\nshort'), r'cut\\nshort'),
                        (RecursionError('deep'), 'RecursionError: deep'), (OverflowError('2'), 'OverflowError: 2')):
        told = rf'^a: not a readable image \({told}\)$'
        with pytest.raises(BadImage, match=told) as caught, opened(good, 'a', 'upright'):
            raise error
        assert caught.value.__cause__ is error
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.reason) == (str(caught.value), caught.value.reason)
    for error in (InputError('crop ratio'), KeyboardInterrupt(), MemoryError()):
        with pytest.raises(type(error)) as caught, opened(good, 'a.png', 'upright'):
            raise error
        assert caught.value is error


def test_short_memory_is_no_fault_of_a_good_image(tmp_path, monkeypatch):
    """With --skip-bad good images went missing; one that claims more pixels than its bytes can hold stays bad."""
    def short(image, rng=None):
        raise MemoryError

    good, bomb = encoded(np.zeros((4, 4, 3), np.uint8)), png(None, size=(9000, 9000), rows=b'')
    for workers in (0, 2):
        loader = Loader(Records(good), short, [[0]], 1, workers, skip_bad=True)
        with pytest.raises(InputError, match=r'shard, record 0: memory ran out .*--num-workers'):
            list(loader)
    (tmp_path / 'a.png').write_bytes(good)
    with pytest.raises(InputError, match=r'a\.png: not enough memory'):
        read_picture(tmp_path / 'a.png', short)
    monkeypatch.setattr(Image.Image, 'convert', short)
    monkeypatch.setattr(ImageFile.ImageFile, 'load', short)
    for work in (check, lambda data: shrink(data, 8, 90, 'upright')):
        with pytest.raises(MemoryError):
            work(good)
        with pytest.raises(BadImage, match='not enough memory for it'):
            work(bomb)


def test_no_more_than_a_hundred_bad_images_in_a_row():
    records = Records(*[b'text'] * 250, encoded(np.zeros((9, 9, 3), np.uint8)))
    for start, found in ((151, True), (150, False), (20, False)):
        loader = Loader(records, Evaluation(8), [[start]], 251, 0, skip_bad=True)
        if found:
            assert [labels.tolist() for _, labels in loader] == [[250]]
        else:
            with pytest.raises(InputError, match=rf'^shard, record {start}: .*none of 100 records from there on'):
                list(loader)


def test_nothing_is_drawn_or_named_where_nobody_asks(monkeypatch):
    records = Records(encoded(np.zeros((9, 9, 3), np.uint8)))
    monkeypatch.setattr(Records, 'where', lambda *args: pytest.fail('a name was made'))
    monkeypatch.setattr('resnest.gluon.data.loader.generator', lambda *args: pytest.fail('a generator was made'))
    assert len(list(Loader(records, Evaluation(8), [[0]], 1, workers=0))) == 1


@pytest.mark.parametrize('name', TRANSFORMS)
@pytest.mark.parametrize('most', [1, 255])
def test_fractions_give_the_pixels_of_eight_bits(name, most):
    """A TIFF of float32 from 0 to 1 was black."""
    small = np.random.default_rng(0).integers(0, 256, (17, 24), dtype=np.uint8)
    small[0, 0] = 255
    data = encoded((small / np.float32(255) * most).astype('float32'), 'tiff')
    grey = encoded(small[..., None].repeat(3, axis=2))
    np.testing.assert_array_equal(pixels(data, name), pixels(grey, name))
    assert shrink(data, 8, 90, 'upright') == shrink(grey, 8, 90, 'upright')


@pytest.mark.parametrize('kind', ['png', 'tiff'])
def test_sixteen_bits_are_not_white_when_they_are_shrunk(kind):
    small = np.random.default_rng(0).integers(0, 256, (17, 24), dtype=np.uint8)
    wide = encoded(small.astype('uint16') * 257, kind)
    assert shrink(wide, 8, 90, 'upright') == shrink(encoded(small), 8, 90, 'upright')


def test_truncated_images_are_refused_at_every_door_whatever_others_have_set(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)       # as importing gluoncv does
    data = encoded(np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8), 'jpeg')
    (tmp_path / 'a.jpg').write_bytes(data[:len(data) // 2])
    for work in (lambda: check(data[:-99]), lambda: shrink(data[:-99], 8, 90, 'upright'),
                 lambda: read_picture(tmp_path / 'a.jpg', Evaluation(32))):
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        with pytest.raises(BadImage, match='truncated'):
            work()


def test_a_jpeg_is_opened_undecoded_so_that_it_can_be_decoded_at_a_fraction():
    data = encoded(np.zeros((400, 640, 3), np.uint8), 'jpeg')
    for size, wanted in ((300, (640, 400)), (150, (320, 200)), (100, (160, 100)), (20, (80, 50))):
        with opened(data, 'a.jpg', 'upright') as picture:
            Evaluation(size, 1.0)(picture)
            assert picture.image.size == wanted


@pytest.mark.parametrize('data', [
    dds(size=(24, 6_000_000)), b'qoif' + struct.pack('>IIBB', 7_000_000, 24, 4, 0) + b'\xfe\1\2\3' + b'\xfd' * 50,
    b'P6 12000 12000 65535\n' + bytes(100)], ids=['dds', 'qoi', 'ppm'])
@pytest.mark.timeout(20)
def test_what_is_decoded_in_python_takes_no_longer_than_its_bytes_say(data):
    """These said 150 million pixels, at a microsecond or two each."""
    with pytest.raises(BadImage, match=r'x \d+ pixels in \d+ bytes'):
        check(data)


def test_no_program_is_started(monkeypatch):
    """Pillow would give EPS to Ghostscript."""
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', lambda *args, **kwargs: pytest.fail('Ghostscript was called'))
    data = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n'
    assert Image.open(io.BytesIO(data)).format == 'EPS'
    for work in (lambda: check(data), lambda: list(Loader(Records(data), Evaluation(8), [[0]], 1, workers=0))):
        with pytest.raises(InputError, match='EPS, which only another program can draw'):
            work()


@pytest.mark.parametrize('name', TRANSFORMS)
def test_a_transparent_colour_that_the_picture_cannot_have(name):
    """A number in a picture of one bit was a TypeError once it had become RGB."""
    rows = np.random.default_rng(0).bytes(3 * 17)
    for mode, bits, value in ((0, 1, b'\xbc\x9e'), (2, 8, b'\xff' * 6)):
        whole = (rows * 24)[:24 * 3 * 17] if mode else rows
        odd, plain = png((b'tRNS', value), None, mode=mode, bits=bits, rows=whole), png(
            None, mode=mode, bits=bits, rows=whole)
        found, wanted = (pixels(data, name) for data in (odd, plain))
        np.testing.assert_array_equal(found, wanted)
        assert check(odd) == odd


def pixels(data, transform, seed=3):
    with opened(data, 'x', 'upright') as image:
        return TRANSFORMS[transform](image, np.random.default_rng(seed))


@pytest.mark.parametrize('name', TRANSFORMS)
@pytest.mark.parametrize('kind', ['png', 'tiff', 'pgm', 'tiff of 32 bits', 'png rgb'])
def test_sixteen_bits_give_the_pixels_of_their_upper_eight(name, kind):
    """Grey and RGB, in all that evaluation and training do, against the same picture of 8 bits."""
    small = np.random.default_rng(0).integers(0, 256, (17, 24, 3), dtype=np.uint8)
    if kind == 'png rgb':
        data = png(None, bits=16, rows=(small.astype('>u2') * 257).tobytes())
    else:
        small = small[..., :1].repeat(3, axis=2)
        grey = small[..., 0].astype('int32' if '32' in kind else 'uint16') * 257
        data = encoded(grey, {'pgm': 'ppm'}.get(kind, kind[:4].strip()))
        assert Image.open(io.BytesIO(data)).mode == {'png': 'I;16', 'tiff': 'I;16'}.get(kind, 'I')
    np.testing.assert_array_equal(pixels(data, name), pixels(encoded(small), name))


def test_sixteen_bits_outside_of_their_range_are_clipped():
    """A TIFF of 32 bits can hold anything; it wrapped around."""
    data = encoded(np.array([[-5, 70_000], [65_535, 256]], np.int32), 'tiff')
    with opened(data, 'x', 'upright') as image:
        found = Evaluation(2, 1.0)(image)
    assert found[..., 0].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize('head, name', [
    (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC'), (b'\0\0\0\x18ftypmif1', 'HEIC'),
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG'),
    (b'\xff\x0a\0\0', 'JPEG XL'), (b'\0\0\0\x0cJXL \r\n\x87\n', 'JPEG XL')])
def test_formats_that_pillow_does_not_know_are_named(head, name, tmp_path):
    (tmp_path / 'a').write_bytes(head + bytes(99))
    with pytest.raises(InputError, match=rf'a: not a readable image \({name}, which is not decoded here: convert'):
        read_picture(tmp_path / 'a', Evaluation(8))


def pages(*kinds):
    """A TIFF with a page for each number, its NewSubfileType (TIFF 6.0, section 8): 1 marks a smaller version."""
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer, True) as writer:
        for number, kind in enumerate(kinds):
            Image.fromarray(np.full((9, 9, 3), 50 * number + 50, np.uint8)).save(writer, 'TIFF', tiffinfo={254: kind})
            writer.newFrame()
    return buffer.getvalue()


def test_a_tiff_of_several_pages_is_refused_at_every_door(tmp_path):
    """Which page is meant nobody has said; a smaller version behind the picture is no page."""
    for kinds in ((0,), (0, 1), (0, 1, 1)):
        assert Image.open(io.BytesIO(pages(*kinds))).n_frames == len(kinds)
        with opened(pages(*kinds), 'a', 'upright') as picture:
            assert np.asarray(picture.whole()).max() == 50
    for data in (pages(0, 0), pages(0, 1, 0)):
        (tmp_path / 'a').write_bytes(data)
        for work in (lambda data=data: check(data), lambda data=data: shrink(data, 8, 90, 'stored'),
                     lambda: read_picture(tmp_path / 'a', Evaluation(8)),
                     lambda data=data: list(Loader(Records(data), Evaluation(8), [[0]], 1, workers=0))):
            with pytest.raises(InputError, match='a TIFF of several pages: save the one that is meant'):
                work()
