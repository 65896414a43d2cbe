"""Pictures of every kind against the same picture as plain RGB."""
import io
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import Evaluation, find_pictures, read_picture
from resnest.gluon.data.images.decoding import Picture, opened
from resnest.gluon.data.images.rules import rule_of_classes
from resnest.gluon.data.images.transforms import crop
from resnest.gluon.tasks.classification.names import imagenet_classes

from ...conftest import encoded

# Smooth, so that JPEG keeps it: red grows to the right, green downwards.
ROWS, COLUMNS = np.mgrid[0:40, 0:60]
PIXELS = np.stack([4 * COLUMNS, 6 * ROWS, np.full_like(ROWS, 60)], axis=2).astype('uint8')
GREY = (4 * COLUMNS).astype('uint8')
# How a viewer's picture is stored, by its EXIF orientation (EXIF 2.3, table 6).
STORED = {1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
          5: lambda p: p.swapaxes(0, 1), 6: lambda p: p.swapaxes(0, 1)[::-1], 7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
          8: lambda p: p.swapaxes(0, 1)[:, ::-1]}
UPRIGHT = {**STORED, 6: STORED[8], 8: STORED[6]}        # each of the others undoes itself


def whole(image, rng=None):
    return np.asarray(image.whole())


def turned(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](PIXELS)))
    image.save(buffer, kind, exif=exif, **({'quality': 95} if kind == 'JPEG' else {}))
    return buffer.getvalue()


@pytest.mark.parametrize('orientation', STORED)
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_exif_orientation(orientation, kind, tmp_path):
    (tmp_path / 'a').write_bytes(turned(orientation, kind))
    found = read_picture(tmp_path / 'a', whole)
    assert found.shape == PIXELS.shape
    assert np.abs(found.astype(int) - PIXELS).mean() < 4      # another orientation is off by 60 and more


def test_the_pipeline_of_imagenet_does_not_turn():
    for rule, wanted in (('stored', STORED[6](PIXELS)), ('upright', PIXELS)):
        with opened(turned(6, 'PNG'), 'a', rule) as picture:
            np.testing.assert_array_equal(whole(picture), wanted)
            np.testing.assert_array_equal(Evaluation(40)(picture), Evaluation(40)(Image.fromarray(
                np.ascontiguousarray(wanted))))


@pytest.mark.parametrize('kind', ['JPEG', 'MPO'])
@pytest.mark.parametrize('orientation', STORED)
@pytest.mark.parametrize('size', [(641, 403), (400, 641), (37, 52)])
def test_a_crop_of_a_turned_picture_is_that_of_the_picture_turned_as_a_whole(size, orientation, kind):
    """The box is mapped and only the crop is turned, so that a large JPEG is decoded at a fraction of its size."""
    rng = np.random.default_rng(orientation)
    noise = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize(size, Image.BICUBIC)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    noise.save(buffer, kind, exif=exif, quality=95)
    with Image.open(io.BytesIO(buffer.getvalue())) as image:
        turned_whole = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](whole(Picture(image)))))
    for side in (300, 33):
        with opened(buffer.getvalue(), 'a', 'upright') as picture:
            found, wanted = Evaluation(side, 1.0)(picture), Evaluation(side, 1.0)(turned_whole)
            assert picture.size == turned_whole.size
        if picture.image.size == size:
            assert np.abs(found.astype(int) - wanted).max() <= 1
    assert (picture.image.size == size) == (min(size) < 66)
    # At a fraction: against the picture that is decoded so, turned as a whole.
    box = np.array([3, 5, 340, 380]) * min(size) / 403
    with opened(buffer.getvalue(), 'a', 'upright') as picture, Image.open(io.BytesIO(buffer.getvalue())) as image:
        found = np.asarray(crop(picture, box, 33, Image.BILINEAR))
        image.draft('RGB', (picture.image.size[0] - 1, picture.image.size[1] - 1))
        assert image.size == picture.image.size
        small = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](whole(Picture(image)))))
        wanted = np.asarray(crop(small, box * (np.array(small.size) / turned_whole.size)[[0, 1, 0, 1]], 33,
                                 Image.BILINEAR))
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize('orientation', STORED)
@pytest.mark.parametrize('size', [(21, 50), (64, 9)])
def test_a_crop_of_other_proportions_than_its_box(size, orientation):
    box = (3.5, 2, 55, 31.25)
    with opened(turned(orientation, 'PNG'), 'a', 'upright') as picture:
        found = picture.resampled(box, size, Image.BILINEAR)
    wanted = Image.fromarray(PIXELS).resize(size, Image.BILINEAR, box)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted)).max() <= 1


@pytest.mark.parametrize('side', [239, 464, 485])
def test_no_crop_reaches_beyond_a_turned_picture(side):
    """Where a side times its quotients is a little more than itself, Pillow refused the box."""
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    for orientation in (3, 6):
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(buffer, 'PNG', exif=exif)
        upright = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](pixels)))
        with opened(buffer.getvalue(), 'a', 'upright') as picture:
            found = Evaluation(224, 1.0)(picture)
        assert np.abs(found.astype(int) - Evaluation(224, 1.0)(upright)).max() <= 1


def test_an_image_that_is_given_stays_as_it_is():
    """A large JPEG that is not decoded yet was decoded at a fraction of its size, and by several threads at once."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    data = encoded(np.asarray(Image.fromarray(noise).resize((1600, 1200))), 'JPEG')
    whole_image, image = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
    whole_image.load()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read_picture(image, Evaluation(32)), range(8)))
    assert (image.size, image.mode) == ((1600, 1200), 'RGB')
    for pixels in found:
        np.testing.assert_array_equal(pixels, Evaluation(32)(whole_image))


def test_a_picture_without_exif_costs_no_search_for_it(monkeypatch):
    monkeypatch.setattr(Image.Image, 'getexif', lambda self: pytest.fail('asked for EXIF'))
    for kind in ('JPEG', 'PNG', 'WEBP'):
        with opened(encoded(PIXELS, kind), 'a', 'upright') as picture:
            assert picture.size == (60, 40)


def test_imagenet_is_known_by_its_classes(tmp_path):
    """Its published figures were measured on pictures as they are stored; all else are people's own."""
    wnids = list(imagenet_classes())
    for names in (wnids, wnids[:10]):       # so do those who take a part of it
        assert rule_of_classes(names) == 'stored'
    for names in ([], ['a', 'b'], [*wnids, 'z'], ['n0144076'], ['n014407640'], ['n01440764\n'], ['\udcff']):
        assert rule_of_classes(names) == 'upright'


def test_a_damaged_exif_block_is_passed_over(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, 'JPEG', exif=b'Exif\0\0' + b'garbage' * 9)
    (tmp_path / 'a.jpg').write_bytes(buffer.getvalue())
    assert read_picture(tmp_path / 'a.jpg', whole).shape == PIXELS.shape


ALPHA = np.where(COLUMNS < 30, 255, np.where(COLUMNS < 45, 128, 0)).astype('uint8')
OVER_WHITE = PIXELS * (ALPHA / 255)[..., None] + 255 * (1 - ALPHA / 255)[..., None]
GREY_OVER_WHITE = GREY * (ALPHA / 255) + 255 * (1 - ALPHA / 255)


def palette(transparent):
    values = np.where(COLUMNS < 30, 1, 2).astype('uint8')
    image = Image.frombytes('P', (60, 40), values.tobytes())
    image.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30])
    if transparent:
        image.info['transparency'] = 2
    right = (255, 255, 255) if transparent else (10, 20, 30)
    return image, np.where((COLUMNS < 30)[..., None], (200, 100, 50), right)


def of(array, mode=None):
    image = Image.fromarray(np.ascontiguousarray(array))
    return image.convert(mode) if mode else image


def three(grey):
    return np.repeat(np.asarray(grey)[..., None], 3, axis=2)


CASES = {
    'jpeg': (of(PIXELS), 'JPEG', PIXELS), 'png': (of(PIXELS), 'PNG', PIXELS), 'bmp': (of(PIXELS), 'BMP', PIXELS),
    'webp': (of(PIXELS), 'WEBP', PIXELS), 'ppm': (of(PIXELS), 'PPM', PIXELS), 'gif': (of(PIXELS), 'GIF', PIXELS),
    'jpeg grey': (of(GREY), 'JPEG', three(GREY)), 'png grey': (of(GREY), 'PNG', three(GREY)),
    'jpeg cmyk': (of(PIXELS, 'CMYK'), 'JPEG', PIXELS), 'tiff cmyk': (of(PIXELS, 'CMYK'), 'TIFF', PIXELS),
    'png 1 bit': (of((COLUMNS < 30) * np.uint8(255), '1'), 'PNG', three((COLUMNS < 30) * 255)),
    'png 16 bit': (of(GREY.astype('uint16') * 257), 'PNG', three(GREY)),
    'tiff 16 bit': (of(GREY.astype('uint16') * 257), 'TIFF', three(GREY)),
    'tiff 32 bit': (of(GREY.astype('int32') * 257), 'TIFF', three(GREY)),
    'tiff float': (of((GREY / 255).astype('float32')), 'TIFF', three(GREY)),
    'tiff float to 255': (of(GREY.astype('float32')), 'TIFF', three(GREY)),
    'png rgba': (of(np.dstack([PIXELS, ALPHA])), 'PNG', OVER_WHITE),
    'webp rgba': (of(np.dstack([PIXELS, ALPHA])), 'WEBP', OVER_WHITE),
    'png la': (of(np.dstack([GREY, ALPHA])), 'PNG', three(GREY_OVER_WHITE)),
    'png palette': (*palette(False)[:1], 'PNG', palette(False)[1]),
    'png palette transparent': (*palette(True)[:1], 'PNG', palette(True)[1]),
    'gif transparent': (*palette(True)[:1], 'GIF', palette(True)[1]),
}


@pytest.mark.parametrize('name', CASES)
def test_formats_and_modes(name, tmp_path):
    image, kind, wanted = CASES[name]
    image.save(tmp_path / 'a', kind, **({'quality': 95} if kind in ('JPEG', 'WEBP') else {}))
    found = read_picture(tmp_path / 'a', whole)
    assert found.dtype == np.uint8
    assert found.shape == (40, 60, 3)
    assert np.abs(found - np.asarray(wanted, float)).mean() < 5
    assert read_picture(tmp_path / 'a', Evaluation(32)).shape == (32, 32, 3)


@pytest.mark.parametrize('transparent', [0, 20000])
def test_the_transparent_value_of_16_bits_is_put_on_white(tmp_path, transparent):
    """One value alone: others that come to the same grey of 8 bits stay as they are."""
    values = np.where(COLUMNS < 20, transparent, np.where(COLUMNS < 40, transparent + 1, 50000)).astype('uint16')
    Image.fromarray(values).save(tmp_path / 'a.png', transparency=transparent)
    found = read_picture(tmp_path / 'a.png', whole)
    np.testing.assert_array_equal(found[..., 0], np.where(COLUMNS < 20, 255, values // 257))


def test_plain_pictures_give_the_pixels_that_verifying_sees(tmp_path):
    """A large JPEG is decoded at a fraction of its size, in both."""
    Image.fromarray(PIXELS).resize((600, 400)).save(tmp_path / 'a.jpg')
    wanted = Evaluation(32)(Image.open(tmp_path / 'a.jpg'))
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.jpg', Evaluation(32)), wanted)


def spoil(tmp_path, kind):
    Image.fromarray(PIXELS).resize((300, 200)).save(tmp_path / 'good', kind)
    data = (tmp_path / 'good').read_bytes()
    return data[:len(data) // 2]


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'GIF'])
def test_truncated(tmp_path, kind):
    path = tmp_path / f'cut.{kind.lower()}'
    path.write_bytes(spoil(tmp_path, kind))
    with pytest.raises(InputError) as caught:
        read_picture(path, Evaluation(32))
    assert str(caught.value).startswith(f'{path}: ')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'holiday photos, 2019\n', b'<html></html>', b'\xff\xd8\xff'])
def test_no_pictures(tmp_path, content):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(InputError, match=r'a\.jpg: not a readable image') as caught:
        read_picture(tmp_path / 'a.jpg', whole)
    assert 'BytesIO' not in str(caught.value)


def test_a_damaged_chunk_behind_the_pixels_is_not_taken_for_damaged_exif():
    """Asking a PNG for its EXIF decodes it; what that raised was swallowed, so training refused what was classified."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, 'PNG')
    short = b'\0\0\0\0gAMA' + zlib.crc32(b'gAMA').to_bytes(4, 'big')
    data = buffer.getvalue()
    end = data.index(b'IEND') - 4
    with opened(data, 'a.png', 'upright') as picture:
        np.testing.assert_array_equal(whole(picture), PIXELS)
    with pytest.raises(InputError, match=r'a\.png: not a readable image \(struct\.error'), \
            opened(data[:end] + short + data[end:], 'a.png', 'upright'):
        pytest.fail('it was opened')


@pytest.mark.timeout(20)
@pytest.mark.parametrize('make', [
    os.mkfifo, lambda path: path.symlink_to('/dev/zero'), lambda path: path.mkdir(),
    lambda path: path.write_bytes(b'') or os.truncate(path, 1 << 40)], ids=['fifo', 'zero', 'folder', 'large'])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / 'a.jpg')
    with pytest.raises(InputError, match=r'a\.jpg: (no plain file|Is a directory|\d+ bytes, but)'):
        read_picture(tmp_path / 'a.jpg', whole)


@pytest.mark.parametrize('name', ['', '~nobody-at-all/a.jpg', 'circle/a.jpg', 'x' * 5000, 'a\0.jpg', 'two\nlines'])
def test_names_that_cannot_be_found(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'circle').symlink_to('circle')
    with pytest.raises(InputError, match='no such file or folder') as caught:
        find_pictures([name])
    assert '\n' not in str(caught.value)


def test_find_pictures(tmp_path):
    for name in ('b.JPG', 'a.png', 'deep/er/c.webp', 'notes.txt', 'deep/.hidden'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    inside = [tmp_path / name for name in ('a.png', 'b.JPG', 'deep/er/c.webp')]
    for name in ('.trash/d.png', 'deep/._c.webp'):        # as other systems leave them
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    assert find_pictures([tmp_path]) == inside
    assert find_pictures([tmp_path / 'notes.txt', str(tmp_path)]) == [tmp_path / 'notes.txt', *inside]
    with pytest.raises(InputError, match='nowhere.jpg: no such file'):
        find_pictures([tmp_path / 'nowhere.jpg'])
    (tmp_path / 'deep/er/up').symlink_to(tmp_path / 'deep')
    with pytest.raises(InputError, match='deep/er/up: a link that leads back'):
        find_pictures([tmp_path])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='empty: no pictures'):
        find_pictures([tmp_path / 'empty'])
