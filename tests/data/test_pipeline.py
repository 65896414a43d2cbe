"""Sample order, transforms and loader: exact, and the same on any number of ranks and workers."""
import collections

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import (
    Evaluation,
    Loader,
    RecordSet,
    Standard,
    evaluation_batches,
    training_batches,
    with_normalization,
    write_shards,
)
from tests.conftest import encoded


@pytest.mark.parametrize('ranks', [1, 2, 4])
def test_ranks_together_take_the_permutation_step_by_step(ranks):
    parts = [training_batches(103, 24 // ranks, rank, ranks, seed=3, epoch=5) for rank in range(ranks)]
    together = np.concatenate(parts, axis=1)
    np.testing.assert_array_equal(together, training_batches(103, 24, seed=3, epoch=5))
    assert together.shape == (4, 24)
    assert len(np.unique(together)) == 96


def test_order_depends_on_seed_and_epoch():
    orders = {training_batches(50, 50, seed=seed, epoch=epoch).tobytes() for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


@pytest.mark.parametrize('count, ranks, wanted', [(9, 1, '--batch-size 9 or less'), (9, 2, '--batch-size 4 or less'),
                                                  (3, 4, '4 ranks, but only 3 training records')])
def test_too_few_records(count, ranks, wanted):
    with pytest.raises(InputError, match=wanted):
        training_batches(count, 10, 0, ranks)


@pytest.mark.parametrize('count', [1, 7, 8, 9, 16, 17])
@pytest.mark.parametrize('ranks', [1, 2, 3])
def test_evaluation_counts_every_sample_once(count, ranks):
    seen = collections.Counter(index for rank in range(ranks)
                               for batch in evaluation_batches(count, 4, rank, ranks) for index in batch.tolist())
    assert seen == collections.Counter(range(count))


@pytest.mark.parametrize('shape', [(40, 30), (30, 40), (33, 33), (200, 31), (7, 9)])
def test_evaluation_crop_is_the_centre_of_the_resized_image(shape):
    """Against a resize of the whole picture and a crop, as torchvision and gluon do it."""
    x, y = np.meshgrid(np.linspace(0, 200, shape[1]), np.linspace(0, 200, shape[0]))
    image = Image.fromarray(np.stack([x, y, (x + y) / 2], axis=-1).astype('uint8'))
    found = Evaluation(28, 0.875)(image)
    scale = 32 / min(image.size)
    whole = image.resize([max(32, int(side * scale)) for side in image.size], Image.BILINEAR)
    left, top = (whole.width - 28) // 2, (whole.height - 28) // 2
    wanted = np.asarray(whole.crop((left, top, left + 28, top + 28)))
    assert found.shape == (28, 28, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - wanted).max() <= 2


def test_evaluation_without_a_margin_is_the_whole_square():
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Evaluation(16, 1.0)(Image.fromarray(pixels)), pixels)


@pytest.mark.parametrize('settings', [dict(size=0), dict(size=8, ratio=0), dict(size=8, ratio=1.1)])
def test_refuses_nonsense(settings):
    with pytest.raises(InputError, match='must be'):
        Evaluation(**settings)
    with pytest.raises(InputError, match='must be'):
        Standard(0)


def test_standard_crops_and_mirrors():
    """On a picture whose pixels tell their place, each draw gives its box back."""
    x, y = np.meshgrid(np.arange(200), np.arange(150))
    image = Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype('uint8'))
    areas, mirrored = [], 0
    for number in range(300):
        pixels = Standard(32)(image, np.random.default_rng(number)).astype(float)
        assert pixels.shape == (32, 32, 3)
        width = (pixels[16, -1, 0] - pixels[16, 0, 0]) * 32 / 31
        height = (pixels[-1, 16, 1] - pixels[0, 16, 1]) * 32 / 31
        mirrored += width < 0
        areas.append(abs(width) * height / (200 * 150))
        assert 0.7 < abs(width) / height < 1.4
    assert 120 < mirrored < 180
    assert 0.07 < min(areas) < 0.12
    assert max(areas) > 0.8
    assert abs(np.mean(areas) - 0.5) < 0.1      # large areas often do not fit the aspect


def test_normalization_is_that_of_imagenet():
    images = np.random.default_rng(0).integers(0, 255, (2, 5, 4, 3), dtype=np.uint8)
    identity = mx.gluon.nn.HybridLambda(lambda F, x: x)
    found = with_normalization(identity)(mx.nd.array(images, dtype='uint8')).asnumpy()
    wanted = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-6)


def collect(loader):
    images, labels = zip(*loader)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize('workers', [1, 3])
def test_workers_do_not_change_the_pixels(squares, workers):
    records = RecordSet(squares, 'train')
    batches = training_batches(96, 8, seed=1, epoch=2)
    alone = collect(Loader(records, Standard(12), batches, 4, workers=0, seed=1, epoch=2))
    found = collect(Loader(records, Standard(12), batches, 4, workers=workers, seed=1, epoch=2))
    for one, other in zip(alone, found):
        np.testing.assert_array_equal(one, other)
    again = collect(Loader(records, Standard(12), batches, 4, workers=0, seed=1, epoch=3))
    assert (again[0] != alone[0]).any()


@pytest.mark.parametrize('workers', [0, 2])
def test_a_bad_record_is_named(tmp_path, workers):
    good = encoded(np.zeros((4, 4, 3), dtype=np.uint8))
    write_shards(tmp_path, {'train': [(good, 0), (b'not an image', 1), (good, 2)]}, ['a', 'b'])
    records = RecordSet(tmp_path, 'train')
    for index, wanted in ((1, 'record 1: not a readable image'), (2, 'record 2: label 2, but there are 2 classes')):
        with pytest.raises(InputError, match=r'train-00000-of-00001\.rec, ' + wanted):
            collect(Loader(records, Evaluation(4, 1.0), [np.array([0, index])], 2, workers=workers))


def test_leaving_early_does_not_hang(squares):
    loader = iter(Loader(RecordSet(squares, 'train'), Evaluation(8), training_batches(96, 2), 4, workers=2))
    assert next(loader)[0].shape == (2, 8, 8, 3)
    loader.close()
