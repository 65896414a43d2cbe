"""Image and map stay together under every transform, and the recipe is gluoncv's."""
import random

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data.images.decoding import Picture
from resnest.gluon.tasks.segmentation.data import CentralCrop, RandomCrop, Whole, known_legend
from resnest.gluon.tasks.segmentation.data.transforms import nearest

COLOURS = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], [250, 250, 20], [200, 200, 200]])


def coloured_by_labels(height, width, seed):
    """A picture whose colours are its labels: blocks of 9 pixels."""
    blocks = np.random.default_rng(seed).integers(0, len(COLOURS), (-(-height // 9), -(-width // 9)))
    labels = blocks.repeat(9, axis=0).repeat(9, axis=1)[:height, :width].astype(np.int16)
    return Picture(Image.fromarray(COLOURS[labels].astype(np.uint8))), labels


def uniform(labels):
    """Where the eight neighbours of a pixel have its label: resampling does not mix colours there."""
    around = np.pad(labels, 1, mode='edge')
    shifted = [around[y:y + labels.shape[0], x:x + labels.shape[1]] for y in range(3) for x in range(3)]
    return np.all([each == labels for each in shifted], axis=0)


TRANSFORMS = {'gluoncv': RandomCrop(48, 240), 'no blur': RandomCrop(60, 180, (0.7, 2), blur=0),
              'large': RandomCrop(40, 300, blur=0), 'small': RandomCrop(150, 120, (0.8, 1.1), blur=0),
              'bicubic': RandomCrop(48, 240, interpolation='bicubic'), 'colours': RandomCrop(48, 240, jitter=0.1),
              'central': CentralCrop(76), 'whole': Whole()}


@pytest.mark.parametrize('name', TRANSFORMS)
@pytest.mark.parametrize('size', [(63, 90), (91, 60), (35, 35), (9, 140)])
def test_a_picture_whose_colours_are_its_labels_stays_one(name, size):
    kept, seen = [], set()
    for seed in range(4):
        picture, labels = coloured_by_labels(*size, seed)
        pixels, found = TRANSFORMS[name](picture, labels, np.random.default_rng(seed))
        assert (pixels.dtype, pixels.shape) == (np.uint8, (*found.shape, 3))
        sure = uniform(found)
        there = sure & (found >= 0)
        distances = np.abs(pixels[:, :, None].astype(int) - COLOURS).sum(axis=3)
        kept.append((distances.argmin(axis=2) == found)[there])
        assert (pixels[sure & (found < 0)] == 0).all() or getattr(TRANSFORMS[name], 'blur', 0)
        seen |= {*np.unique(found)}
    assert len(seen & {*range(5)}) >= 4
    assert np.concatenate(kept).mean() > 0.99


@pytest.mark.parametrize('box, size', [((0, 0, 31, 23), (31, 23)), ((0, 0, 31, 23), (17, 40)),
                                       ((3.2, 4.5, 20.7, 21.1), (13, 29)), ((5, 5, 6, 6), (4, 4))])
def test_nearest_is_pillows(box, size):
    values = np.random.default_rng(0).integers(0, 256, (23, 31), dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(values).resize(size, Image.NEAREST, box))
    assert (nearest(values, box, size) == wanted).all()


class Drawn:
    """Stands for a Generator, and for Python's ``random``: chosen shares of what is drawn."""

    def __init__(self, reals, shares):
        self.reals, self.shares = list(reals), list(shares)

    def random(self):
        return self.reals.pop(0)

    def integers(self, first, end=None):
        first, end = (0, first) if end is None else (first, end)
        return first + round(self.shares.pop(0) * (end - 1 - first))

    def randint(self, first, last):
        return self.integers(first, last + 1)


@pytest.mark.parametrize('width, height', [(37, 50), (120, 70), (45, 45), (65, 41)])
@pytest.mark.parametrize('reals, scale', [((0.9, 0.9, 0.7), 0.3), ((0.9, 0.2, 0.7), 0.9), ((0.1, 0.1, 0.3), 0.8),
                                          ((0.9, 0.9, 0.7), 0.0), ((0.4, 0.6, 0.7), 0.03)])
def test_what_gluoncv_makes_of_the_same_numbers(width, height, reals, scale, monkeypatch):
    """One whole resampling and then a crop, against that of the crop alone: the last bit may differ."""
    segbase = pytest.importorskip('gluoncv.data', reason='gluoncv is an extra; make test installs it')
    rng = np.random.default_rng(width)
    image = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)).resize((width, height))
    values = rng.integers(0, 151, (height // 4, width // 4), dtype=np.uint8)
    values = np.asarray(Image.fromarray(values).resize((width, height), Image.NEAREST))
    theirs = object.__new__(segbase.ADE20KSegmentation)
    theirs.crop_size, theirs.base_size, theirs.mode = 48, 52, 'train'
    labels, _ = known_legend('ade20k').labels(values)
    place = 0.25
    drawn = Drawn(reals, [scale, place, 0.6])
    with monkeypatch.context() as patched:
        patched.setattr(random, 'random', drawn.random)
        patched.setattr(random, 'randint', drawn.randint)
        wanted, wanted_labels = (array.asnumpy() for array in theirs._sync_transform(image, Image.fromarray(values)))
    ours = Drawn(reals, [scale, 1 - place if reals[0] < 0.5 else place, 0.6])         # they mirror before they crop
    pixels, found = RandomCrop(48, 52)(Picture(image), labels, ours)
    assert np.abs(pixels - wanted).max() <= 1
    assert (found != wanted_labels).mean() < 0.1        # a centre on the border of two pixels
    assert ((found == wanted_labels) | ~uniform(found)).all()
    pixels, found = CentralCrop(48)(Picture(image), labels)
    wanted, wanted_labels = (array.asnumpy() for array in theirs._val_sync_transform(image, Image.fromarray(values)))
    assert np.abs(pixels - wanted).max() <= 1
    assert ((found == wanted_labels) | ~uniform(found)).all()


@pytest.mark.parametrize('make, words', [(RandomCrop, (0,)), (RandomCrop, (48, 0)), (RandomCrop, (48, 52, (2, 1))),
                                         (RandomCrop, (48, 52, (0, 1))), (RandomCrop, (10 ** 6,)),
                                         (CentralCrop, (-3,))])
def test_sizes_that_are_none(make, words):
    with pytest.raises(InputError):
        make(*words)
