"""Sample order, transforms and loader: exact, and the same on any number of ranks and workers."""
import collections
import io
import itertools
import threading

import mxnet as mx
import numpy as np
import pytest
from PIL import Image, ImageFile

from resnest.errors import InputError
from resnest.gluon.data import (
    Evaluation,
    Loader,
    RecordSet,
    evaluation_batches,
    interpolation_for,
    local_batches,
    preprocessing,
    training_batches,
    training_transform,
    with_normalization,
    write_shards,
)
from resnest.gluon.data.images.augmentation import random_crop_box
from resnest.gluon.data.images.transforms import crop
from resnest.gluon.models import VARIANTS, override

from ..conftest import encoded, randomize


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


@pytest.mark.parametrize('size, ratio, short', [(224, 0.875, 256), (256, 0.875, 293), (320, 0.875, 366),
                                                (224, 0.7, 320), (416, 0.9, 463), (224, 1.0, 224)])
def test_the_short_edge_is_rounded_up(size, ratio, short):
    """As the official scripts have it. 224 / 0.7 is a little more than 320 in binary fractions."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (short, short, 3), dtype=np.uint8))
    margin = (short - size) // 2
    np.testing.assert_array_equal(Evaluation(size, ratio)(image), np.asarray(image)[margin:margin + size,
                                                                                    margin:margin + size])


@pytest.mark.parametrize('size', [(206, 103), (214, 107), (161, 322)])
def test_the_centre_is_that_of_the_mirrored_picture(size):
    """206 * (256 / 103) is a little less than 512: a long edge of 511 has no centre of 224."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    found = Evaluation(224)(Image.fromarray(pixels)).astype(int)
    mirrored = Evaluation(224)(Image.fromarray(np.ascontiguousarray(pixels[::-1, ::-1])))
    assert np.abs(found[::-1, ::-1] - mirrored).max() <= 1


def test_evaluation_without_a_margin_is_the_whole_square():
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Evaluation(16, 1.0)(Image.fromarray(pixels)), pixels)


@pytest.mark.parametrize('size, wanted', [(256, Image.BILINEAR), (260, Image.BICUBIC)])
def test_bicubic_above_256_pixels(size, wanted):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    found = Evaluation(size, 1.0, interpolation_for(size))(image)
    np.testing.assert_array_equal(found, np.asarray(image.resize((size, size), wanted)))


@pytest.mark.parametrize('given, wanted', [((), (300, 0.9, 'bilinear')), ((300, 0.5), (300, 0.5, 'bilinear')),
                                           ((301,), (301, 0.9, 'bicubic')), ((256,), (256, 0.9, 'bilinear'))])
def test_a_models_own_interpolation_counts_at_its_own_size(given, wanted):
    """At any other size the size decides; every network of the table says what its size says."""
    spec = override(VARIANTS['resnest50'], {'crop_size': 300, 'crop_ratio': 0.9})
    assert preprocessing(spec, *given) == wanted
    for spec in VARIANTS.values():
        assert preprocessing(spec) == (spec.crop_size, spec.crop_ratio, interpolation_for(spec.crop_size))


@pytest.mark.parametrize('settings', [dict(size=0), dict(size=8, ratio=0), dict(size=8, ratio=1.1)])
def test_refuses_nonsense(settings):
    with pytest.raises(InputError, match='must be'):
        Evaluation(**settings)
    with pytest.raises(InputError, match='must be'):
        training_transform('standard', 0)


def test_random_crops_have_the_promised_boxes():
    boxes = [random_crop_box(200, 200, np.random.default_rng(seed)) for seed in range(2000)]
    areas, aspects = [], []
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 200
        areas.append((right - left) * (bottom - top) / 200 ** 2)
        aspects.append((right - left) / (bottom - top))
    assert 0.075 < min(areas) < 0.09
    assert max(areas) > 0.95
    assert 0.73 < min(aspects) < 0.77
    assert 1.3 < max(aspects) < 1.36
    assert abs(np.mean(np.log(aspects))) < 0.02
    assert random_crop_box(10, 1000, np.random.default_rng(0)) == (0, 495, 10, 505)     # nothing else fits


def test_training_crops_and_mirrors():
    """On a picture whose red grows to the right, about half of the draws have it grow to the left."""
    x, y = np.meshgrid(np.arange(200), np.arange(150))
    image = Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype('uint8'))
    transform = training_transform('standard', 32)
    pictures = [transform(image, np.random.default_rng(number)).astype(float) for number in range(200)]
    assert all(pixels.shape == (32, 32, 3) for pixels in pictures)
    assert 80 < sum(pixels[16, -1, 0] < pixels[16, 0, 0] for pixels in pictures) < 120
    assert all(pixels[-1, 16, 1] >= pixels[0, 16, 1] for pixels in pictures)


def test_reduced_decoding_shows_the_same_picture():
    """A large JPEG's crop, decoded at a fraction of its size, against the crop of the whole."""
    low = np.random.default_rng(0).integers(0, 255, (15, 20, 3), dtype=np.uint8)
    whole = Image.fromarray(low).resize((1600, 1200), Image.BICUBIC)
    data = encoded(np.asarray(whole), 'jpeg')
    for box in [(0, 0, 1600, 1200), (101, 203, 900, 950), (700, 500, 1500, 1100)]:
        reduced = Image.open(io.BytesIO(data))
        found = np.asarray(crop(reduced, box, 64, Image.BILINEAR)).astype(int)
        assert reduced.size[0] <= 400       # at least a quarter
        assert np.abs(found - np.asarray(whole.resize((64, 64), Image.BILINEAR, box))).mean() < 3


@pytest.mark.parametrize('spec, mean, std', [
    (None, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    (VARIANTS['resnest50'], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    (override(VARIANTS['resnest50'], {'mean': [0.5, 0, 1], 'std': [0.3, 1, 0.25]}), [0.5, 0, 1], [0.3, 1, 0.25])])
def test_normalization_is_that_of_the_network_or_imagenets(spec, mean, std):
    images = np.random.default_rng(0).integers(0, 255, (2, 5, 4, 3), dtype=np.uint8)
    identity = mx.gluon.nn.HybridLambda(lambda F, x: x)
    if spec:
        identity.spec = spec
    found = with_normalization(identity)(mx.nd.array(images, dtype='uint8')).asnumpy()
    wanted = (images / 255 - mean) / std
    np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('hybridize', [False, True])
def test_pixels_that_do_not_suit_the_network(tiny, hybridize):
    for options, least in (({}, 17), ({'dilation': 2}, 9)):
        net = with_normalization(randomize(tiny(**options)))
        net.hybridize(hybridize)
        assert np.isfinite(net(mx.nd.ones((1, least, least + 1, 3), dtype='uint8')).asnumpy()).all()
        small = mx.nd.ones((1, 32, least - 1, 3), dtype='uint8')
        for x, wanted in ((small, f'at least {least} x {least} px, got 32 x {least - 1}'),
                          (mx.nd.ones((1, 3, 32, 32), dtype='uint8'), r'pixels \(N, H, W, 3\), got \(1, 3, 32, 32\)'),
                          (mx.nd.ones((32, 32, 3), dtype='uint8'), r'pixels \(N, H, W, 3\), got \(32, 32, 3\)'),
                          (np.ones((1, 32, 32, 3), 'uint8'), 'pixels as an NDArray, got ndarray')):
            with pytest.raises(InputError, match=wanted):
                net(x)
    with pytest.raises(InputError, match='images of 1 channels, and mean and std are those of three'):
        with_normalization(tiny(in_channels=1))


def collect(loader):
    images, labels = zip(*loader)
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize('augment', ['standard', 'autoaugment', 'randaugment'])
def test_pixels_depend_on_seed_epoch_and_index_alone(squares, augment):
    """1, 2 and 4 ranks, 0, 1 and 3 workers, from any step on: the global batches hold the same pixels."""
    records = RecordSet(squares, 'train')
    transform = training_transform(augment, 12)

    def batches(rank, ranks, workers, start=0, epoch=2):
        indices = training_batches(96, 16 // ranks, rank, ranks, seed=1, epoch=epoch, start=start)
        return list(Loader(records, transform, indices, 4, workers, seed=1, epoch=epoch))

    wanted = batches(0, 1, 0)
    for ranks, workers, start in itertools.product((1, 2, 4), (0, 1, 3), (0, 4)):
        parts = [batches(rank, ranks, workers, start) for rank in range(ranks)]
        assert all(len(part) == 6 - start for part in parts)
        for step, (images, labels) in enumerate(wanted[start:]):
            np.testing.assert_array_equal(np.concatenate([part[step][0] for part in parts]), images)
            np.testing.assert_array_equal(np.concatenate([part[step][1] for part in parts]), labels)
    assert any((one[0] != other[0]).any() for one, other in zip(wanted, batches(0, 1, 0, epoch=3)))


def test_local_sharding():
    """Equal steps, each rank's own order, no sample twice in an epoch."""
    orders = [local_batches(count, 4, 5, rank, seed=3, epoch=1) for rank, count in enumerate((20, 23))]
    for order, count in zip(orders, (20, 23)):
        assert order.shape == (5, 4)
        assert len(np.unique(order)) == 20
        assert order.max() < count
    assert (orders[0] != local_batches(20, 4, 5, 1, seed=3, epoch=1)).any()
    np.testing.assert_array_equal(local_batches(23, 4, 5, 1, seed=3, epoch=1, start=2), orders[1][2:])
    with pytest.raises(InputError, match='rank 3 has 19 training records of its own'):
        local_batches(19, 4, 5, 3)


def test_shares_of_the_shards(squares):
    shares = [RecordSet(squares, 'train', (part, 2)) for part in range(2)]
    assert [len(share.files) for share in shares] == [2, 1]
    assert sum(map(len, shares)) == 96
    with pytest.raises(InputError, match='fewer than 4 shards for 4 ranks'):
        RecordSet(squares, 'train', (3, 4))


@pytest.mark.parametrize('workers', [0, 2])
def test_a_bad_record_is_named(tmp_path, workers):
    good = encoded(np.zeros((4, 4, 3), dtype=np.uint8))
    write_shards(tmp_path, {'train': [(good, 0), (b'not an image', 1), (good, 2)]}, ['a', 'b'])
    records = RecordSet(tmp_path, 'train')
    for index, wanted in ((1, 'not a readable image'), (2, 'label 2, but there are 2 classes')):
        with pytest.raises(InputError, match=rf'train-00000-of-00001\.rec, record {index} at byte \d+: {wanted}'):
            collect(Loader(records, Evaluation(4, 1.0), [np.array([0, index])], 2, workers=workers))


def test_leaving_early_does_not_hang(squares):
    loader = iter(Loader(RecordSet(squares, 'train'), Evaluation(8), training_batches(96, 2), 4, workers=2))
    assert next(loader)[0].shape == (2, 8, 8, 3)
    loader.close()


def test_skip_bad_counts_and_replaces(tmp_path):
    pixels = [np.full((4, 4, 3), 10 * number, dtype=np.uint8) for number in range(4)]
    jpeg = encoded(np.zeros((40, 40, 3), dtype=np.uint8), 'jpeg')
    bad = [b'text', jpeg[:len(jpeg) // 2]]
    samples = [(encoded(pixels[0]), 0), (bad[0], 0), (encoded(pixels[2]), 1), (bad[1], 0)]
    write_shards(tmp_path, {'train': samples}, ['a', 'b'])
    loader = Loader(RecordSet(tmp_path, 'train'), Evaluation(4, 1.0), [np.arange(4)], 2, workers=0, skip_bad=True)
    (images, labels), = loader
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 20, 20, 0])
    assert labels.tolist() == [0, 1, 1, 0]
    assert ['record 1' in loader.skipped[0], 'record 3' in loader.skipped[1], len(loader.skipped)] == [True, True, 2]
    write_shards(tmp_path / 'none', {'train': [(b'text', 0)] * 3}, ['a'])
    loader = Loader(RecordSet(tmp_path / 'none', 'train'), Evaluation(4), [np.arange(2)], 1, workers=0, skip_bad=True)
    with pytest.raises(InputError, match='no record of the whole set can be read'):
        list(loader)


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_skipped_tells_of_the_batches_that_were_yielded(tmp_path, workers):
    """Not of those that are prepared ahead: a run that goes on from any batch counts each bad record once."""
    good = encoded(np.zeros((4, 4, 3), dtype=np.uint8))
    write_shards(tmp_path, {'train': [(good, 0), (b'text', 0)] * 8}, ['a'])
    records = RecordSet(tmp_path, 'train')
    made = threading.Semaphore(0)

    def transform(image, rng):
        made.release()
        return Evaluation(4, 1.0)(image)

    def loader(start):
        return Loader(records, transform, np.arange(16).reshape(8, 2)[start:], 1, workers, skip_bad=True)

    whole = loader(0)
    list(whole)
    assert [message.split(' at ')[0][-2:].strip() for message in whole.skipped] == [str(n) for n in range(1, 16, 2)]
    for stop in range(1, 8):
        begun, rest = loader(0), loader(stop)
        made = threading.Semaphore(0)
        batches = iter(begun)
        for _ in range(stop):
            next(batches)
        for _ in range(2 * min(8, stop + 2 * workers)):     # until everything that may be prepared ahead is
            assert made.acquire(timeout=10)
        assert begun.skipped == whole.skipped[:stop]
        batches.close()
        list(rest)
        assert begun.skipped + rest.skipped == whole.skipped
    list(rest)
    assert rest.skipped == whole.skipped[7:]        # of this time, not of both


def test_sixteen_bit_and_cmyk_images(tmp_path):
    ramp = np.linspace(0, 65535, 16).astype('uint16').reshape(4, 4)
    found = Evaluation(4, 1.0)(Image.open(io.BytesIO(encoded(ramp))))
    np.testing.assert_array_equal(found, (ramp // 257)[..., None].repeat(3, axis=2))
    ink = Image.new('CMYK', (4, 4), (0, 255, 255, 0))
    buffer = io.BytesIO()
    ink.save(buffer, 'jpeg')
    red = Evaluation(4, 1.0)(Image.open(io.BytesIO(buffer.getvalue())))
    assert np.abs(red.astype(int) - [255, 0, 0]).max() < 6


def test_truncated_images_are_refused_whatever_others_have_set(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)       # as importing gluoncv does
    pixels = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    jpeg = encoded(pixels, 'jpeg')
    write_shards(tmp_path, {'train': [(jpeg[:len(jpeg) // 2], 0)]}, ['a'])
    with pytest.raises(InputError, match='record 0 at byte 0: not a readable image.*truncated'):
        list(Loader(RecordSet(tmp_path, 'train'), Evaluation(32), [np.arange(1)], 1, workers=0))
