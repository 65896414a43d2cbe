"""Scores at several scales with the mirror image, against a loop over pixels in NumPy."""
import math
from dataclasses import replace

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import device
from resnest.gluon.tasks.segmentation import SegmentationSpec
from resnest.gluon.tasks.segmentation.resizing import resize_to
from resnest.gluon.tasks.segmentation.scores import evaluation
from resnest.gluon.tasks.segmentation.scores.evaluation import evaluate, labelled
from resnest.gluon.tasks.segmentation.scores.metrics import confusion
from resnest.gluon.tasks.segmentation.scores.scoring import MultiScale, SingleScale

SPEC = SegmentationSpec('little', 'resnest14', classes=3, crop_size=16, base_size=24)
WEIGHTS = np.random.default_rng(1).normal(0, 0.01, (3, 3)).astype('float32')


def net(images):
    """Logits that depend on the place in the crop too, so that mirror images and crops that overlap differ."""
    x = images.astype('float32')
    places = mx.nd.arange(x.shape[2]).reshape((1, 1, 1, -1)) * 0.05
    return mx.nd.dot(x, mx.nd.array(WEIGHTS)).transpose((0, 3, 1, 2)) + places


def resized_slowly(scores, height, width):
    """Bilinear, corners aligned, pixel by pixel."""
    found = np.zeros((len(scores), height, width))
    for row in range(height):
        for column in range(width):
            y = row * (scores.shape[1] - 1) / max(height - 1, 1)
            x = column * (scores.shape[2] - 1) / max(width - 1, 1)
            for i in range(int(y), min(int(y) + 2, scores.shape[1])):
                for j in range(int(x), min(int(x) + 2, scores.shape[2])):
                    found[:, row, column] += scores[:, i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return found


def added_up(maps, height, width):
    """The scores whose highest ones are the labels."""
    return sum(resize_to(mx.nd, each, height, width) for each in maps).asnumpy()


def scored_slowly(image, scales, side, base):
    height, width = image.shape[:2]
    total = np.zeros((3, height, width))
    for scale in scales:
        longest = math.ceil(base * scale)
        if height >= width:
            h, w = longest, int(width * longest / height + 0.5)
        else:
            h, w = int(height * longest / width + 0.5), longest
        pixels = resized_slowly(image.transpose(2, 0, 1), h, w).round().astype('uint8').transpose(1, 2, 0)
        step = side * 2 // 3
        summed, times = np.zeros((3, h, w)), np.zeros((h, w))
        top = 0
        while True:
            left = 0
            while True:
                crop = np.zeros((side, side, 3), dtype=np.uint8)
                for i in range(side):
                    for j in range(side):
                        if top + i < h and left + j < w:
                            crop[i, j] = pixels[top + i, left + j]
                logits = (net(mx.nd.array(crop[None], dtype='uint8')).asnumpy()[0]
                          + net(mx.nd.array(crop[None, :, ::-1], dtype='uint8')).asnumpy()[0][:, :, ::-1])
                for i in range(min(side, h - top)):
                    for j in range(min(side, w - left)):
                        summed[:, top + i, left + j] += np.exp(logits[:, i, j])
                        times[top + i, left + j] += 1
                if left + side >= w:
                    break
                left += step
            if top + side >= h:
                break
            top += step
        total += resized_slowly(summed / times, height, width)
    return total


@pytest.mark.parametrize('size', [(18, 27), (27, 9), (9, 9)])       # whose resized pixels are no halves
def test_several_scales_equal_a_slow_loop(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    scales = (0.5, 1.0, 1.75)
    found = added_up(MultiScale(net, SPEC, mx.cpu(), scales, crops=3)(image[None]), *size)[0]
    np.testing.assert_allclose(found, scored_slowly(image, scales, 16, 24), rtol=1e-4)


@pytest.mark.parametrize('size, side', [((60, 80), 24), ((40, 30), 25), ((30, 40), 64)])
def test_several_scales_are_gluoncvs(size, side):
    """But for the pixels of resized pictures, which are whole numbers here."""
    segbase = pytest.importorskip('gluoncv.model_zoo.segbase', reason='gluoncv is an extra; make test installs it')
    spec = replace(SPEC, base_size=40, crop_size=side)
    mean, std = (mx.nd.array(np.reshape(each, (1, 3, 1, 1))) for each in (spec.mean, spec.std))

    class Module(mx.gluon.nn.HybridBlock):
        base_size, crop_size = spec.base_size, spec.crop_size

        def evaluate(self, x):
            return net((255 * (x * std + mean)).transpose((0, 2, 3, 1)))

    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    scales = (0.5, 1.0, 1.75)
    theirs = segbase.MultiEvalModel(Module(), 3, ctx_list=[mx.cpu()], flip=True, scales=list(scales))
    wanted = theirs(((mx.nd.array(image.transpose(2, 0, 1)[None]) / 255 - mean) / std)[0]).asnumpy()
    found = added_up(MultiScale(net, spec, mx.cpu(), scales)(image[None]), *size)
    np.testing.assert_allclose(found, wanted, rtol=0.02)


def test_one_scale_sees_the_whole_picture():
    seen = []

    def watched(images):
        seen.append(images.shape)
        return net(images)

    image = np.random.default_rng(0).integers(0, 256, (1, 30, 48, 3), dtype=np.uint8)
    found, = SingleScale(watched, SPEC, mx.cpu())(image)
    assert found.shape == (1, 3, 16, 24)
    assert seen == [(1, 16, 24, 3)]      # crops of 16 pixels, and strides of 8
    small = image[:, :24, :16]
    found, = SingleScale(net, SPEC, mx.cpu())(small)
    assert (found == net(mx.nd.array(small, dtype='uint8'))).min() == 1


def test_labels_are_those_of_the_maps_resized_and_added_up(monkeypatch):
    """Tile by tile, whose edges must not show."""
    monkeypatch.setattr(evaluation, 'TILE', 16)
    rng = np.random.default_rng(2)
    maps = [mx.nd.array(rng.normal(size=(1, 3, *size))) for size in ((9, 7), (1, 1), (50, 61), (33, 40))]
    labels, finite = labelled(maps, 33, 40)
    assert (labels[0] == sum(resized_slowly(each.asnumpy()[0], 33, 40) for each in maps).argmax(axis=0)).all()
    assert finite.all()


@pytest.mark.parametrize('score', [SingleScale, MultiScale])
@pytest.mark.parametrize('classes, base_size, free, wanted', [
    (3, 5000, 1 << 28, '5000: a map of .* pixels with 3 classes takes more than .* GB'),
    (150, 16000, None, '16000: a map of .* pixels with 150 classes is more than an array of MXNet holds')])
def test_pictures_beyond_memory(score, classes, base_size, free, wanted, monkeypatch):
    monkeypatch.setattr(device, '_free_memory', lambda _: free)
    spec = replace(SPEC, classes=classes, base_size=base_size)
    with pytest.raises(InputError, match=f'^base size {wanted}.*; use a smaller one$'):
        score(net, spec, mx.cpu())(np.zeros((1, 20, 30, 3), dtype=np.uint8))


def test_a_picture_whose_scores_are_not_finite_is_counted_apart():
    def broken(images):
        logits = net(images)
        return logits if int(images.asnumpy().max()) < 250 else logits / 0

    rng = np.random.default_rng(0)
    pictures = [(rng.integers(0, 200, (1, 20, 24, 3), dtype=np.uint8), rng.integers(-1, 3, (1, 20, 24)))
                for _ in range(3)]
    pictures[1][0][0, :] = 255
    for score in (SingleScale(broken, SPEC, mx.cpu()), MultiScale(broken, SPEC, mx.cpu(), (1.0,))):
        found = evaluate(score, pictures, 3)
        assert (found['seen'], found['nonfinite']) == (3, 1)
        wanted = sum(confusion(labelled(score(image), 20, 24)[0], labels, 3) for image, labels in pictures[::2])
        assert (found['confusion'] == wanted).all()
