"""The transform of training images: its options one by one, and random erasing."""
import math

import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data import Evaluation, Loader, RecordSet, training_transform
from resnest.gluon.data.images import augmentation
from resnest.gluon.data.images.augmentation import Erasing, random_crop_box
from resnest.gluon.data.images.colour import EIGENVALUES, EIGENVECTORS

from .formulas import picture

SIZE = 24


def pictures(count=200, kind='standard', image=None, **settings):
    transform = training_transform(kind, SIZE, evaluation=Evaluation(SIZE, 1.0), **settings)
    image = Image.fromarray(picture(0)) if image is None else image
    return [transform(image, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize('chance', [0.0, 0.2, 1.0])
def test_mirrored_by_its_probability(chance):
    """A ramp to the right is one to the left."""
    ramp = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (150, 1, 3)))
    found = np.array(pictures(300, image=ramp, hflip=chance, jitter=0))
    assert abs((found[:, 0, 0, 0] > found[:, 0, -1, 0]).mean() - chance) <= 4.5 * math.sqrt(chance * (1 - chance) / 300)


def test_area_and_aspect_of_the_crops():
    boxes = np.array([random_crop_box(300, 200, np.random.default_rng(seed), (0.2, 0.3), (0.5, 0.8))
                      for seed in range(500)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, aspect = width * height / 60000, width / height
    assert 0.195 < area.min() < 0.205 < 0.295 < area.max() < 0.305
    assert 0.49 < aspect.min() < 0.51 < 0.79 < aspect.max() < 0.81
    # The transform passes them on: all of a square is the square itself.
    whole = pictures(5, scale=(1.0, 1.0), ratio=(1.0, 1.0), hflip=0, jitter=0,
                     image=Image.fromarray(picture(0)).resize((SIZE, SIZE)))
    wanted = np.asarray(Image.fromarray(picture(0)).resize((SIZE, SIZE)))
    assert all((found == wanted).all() for found in whole)


@pytest.mark.parametrize('jitter', [0.0, 0.2, 0.4])
def test_strength_of_the_colours(jitter, monkeypatch):
    """On a grey picture of 100: brightness evenly within 100 x jitter, and a lighting of jitter / 4."""
    grey = Image.new('RGB', (8, 8), (100, 100, 100))
    found = np.array([each[0, 0] for each in pictures(400, image=grey, jitter=jitter)], dtype=float)
    first = EIGENVALUES[0] * EIGENVECTORS[:, 0].mean()
    assert found.std() == pytest.approx(jitter * math.hypot(100 / math.sqrt(3), first / 4), rel=0.08)
    asked = []
    monkeypatch.setattr(augmentation, 'jitter_and_light',
                        lambda image, rng, *strengths: asked.append(strengths) or image)
    pictures(1, jitter=jitter)
    assert asked == ([(jitter, jitter / 4)] if jitter else [])


def test_randaugment_gets_its_parameters():
    settings = dict(hflip=0, jitter=0, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    transform = training_transform('randaugment', SIZE, randaugment=(3, 12.5), **settings)
    assert (transform.policy.count, transform.policy.level) == (3, 1.25)


def erased(found, plain):
    """The rectangle in which two pictures differ: ``(top, left, height, width)``, all of it changed but by chance."""
    changed = (found != plain).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    top, left, height, width = rows[0], columns[0], rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    assert changed[top:top + height, left:left + width].mean() > 0.97
    return top, left, height, width


def test_random_erasing_is_that_of_the_paper():
    """Algorithm 1: an area of 2 to 40 %, an aspect of 0.3 to 3.33, any place, evenly; random values."""
    plain = np.full((100, 100, 3), 200, dtype=np.uint8)
    transform = Erasing(lambda image, rng: plain, 1.0)
    boxes, values = [], []
    for seed in range(600):
        found = transform(None, np.random.default_rng(seed))
        top, left, height, width = erased(found, plain)
        boxes.append((top, left, height, width))
        values.append(found[top + 1:top + height - 1, left + 1:left + width - 1].ravel())
    top, left, height, width = np.array(boxes).T
    area, aspect = height * width / 10000, height / width
    assert 0.018 < area.min() < 0.03 < 0.37 < area.max() < 0.405
    assert 0.27 < aspect.min() < 0.33 < 3 < aspect.max() < 3.6
    assert abs(np.corrcoef(top / np.maximum(1, 100 - height), left / np.maximum(1, 100 - width))[0, 1]) < 0.15
    assert abs(np.mean(top / np.maximum(1, 100 - height)) - 0.5) < 0.06
    values = np.concatenate(values)
    assert abs(values.mean() - 127.5) < 0.5
    assert abs(values.std() - 255 / math.sqrt(12)) < 1
    assert (plain == 200).all()     # not written into


@pytest.mark.parametrize('kind', ['standard', 'none', 'autoaugment'])
def test_erasing_by_its_probability_behind_each_augmentation(kind):
    """What is not erased is as without it: erasing draws last."""
    plain, found = pictures(150, kind), pictures(150, kind, erasing=0.3)
    changed = [bool((one != other).any()) for one, other in zip(found, plain)]
    assert abs(np.mean(changed) - 0.3) < 0.17


def test_erased_pixels_depend_on_seed_epoch_and_index_alone(squares):
    records = RecordSet(squares, 'train')
    transform = training_transform('none', 12, evaluation=Evaluation(12), erasing=0.5)

    def images(batches, workers):
        return np.concatenate([each for each, _ in Loader(records, transform, batches, 4, workers, seed=1, epoch=2)])

    wanted = images([range(16)], 0)
    np.testing.assert_array_equal(images([range(8), range(8, 16)], 2), wanted)
    np.testing.assert_array_equal(images([range(15, -1, -1)], 2)[::-1], wanted)
