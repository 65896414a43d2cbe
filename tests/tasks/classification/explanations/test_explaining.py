"""Grad-CAM against the formula for a pooled linear head, and against differences; attention against its pieces."""
import dataclasses

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.models import ResNet
from resnest.gluon.nn import native
from resnest.gluon.tasks.classification.explanations.explaining import explain, grad_cam

from ....conftest import TINY, needs_compiler, randomize, relative_error

CLASSES = range(6)


def network(dropblock_prob=0.0, **changes):
    return randomize(ResNet(dataclasses.replace(TINY, **changes), classes=6, dropblock_prob=dropblock_prob))


def pictures(size=64, count=2):
    return mx.nd.array(np.random.default_rng(1).normal(size=(count, 3, size, size)))


def outputs(net, x):
    """Those of the pooled stem and of the four stages."""
    found = [net.maxpool(net.relu(net.bn1(net.conv1(x))))]
    for number in (1, 2, 3, 4):
        found.append(getattr(net, f'layer{number}')(found[-1]))
    return found


@pytest.mark.parametrize('changes', [dict(), dict(radix=1), dict(radix=0), dict(radix=4, cardinality=2),
                                     dict(dropblock_prob=0.5, final_drop=0.3)])
def test_grad_cam_of_a_pooled_linear_head_is_analytic(changes):
    """d logit_c / d A_k is w_ck / (h w) at each position: here Grad-CAM is CAM (Zhou et al., 2016)."""
    net = network(**changes)
    features = outputs(net, pictures(80, 1))[4].repeat(6, axis=0)
    found = grad_cam(net, features, CLASSES)
    weights = net.fc.weight.data().asnumpy() / np.prod(features.shape[2:])
    wanted = np.maximum(np.einsum('nk,nkhw->nhw', weights, features.asnumpy()), 0)
    assert found.shape == (6, 3, 3)
    assert relative_error(found, wanted) < 1e-5


@pytest.mark.parametrize('changes', [dict(), dict(radix=4, cardinality=2, avd_first=True)])
@pytest.mark.parametrize('stage', [1, 2, 3])
def test_grad_cam_of_the_stages_below(changes, stage):
    """The weight of a channel is what the logit gains when all of the channel is raised, over its positions."""
    net = network(**changes)
    features = outputs(net, pictures(40, 1))[stage]
    values, step = features.asnumpy(), 3e-2

    def logits(shift):
        """With each of the channels shifted in turn."""
        x = mx.nd.array(values + shift * np.eye(values.shape[1])[:, :, None, None])
        for number in range(stage + 1, 5):
            x = getattr(net, f'layer{number}')(x)
        return net.fc(net.flat(net.avgpool(x))).asnumpy().astype('float64')

    gains = (logits(step) - logits(-step)) / (2 * step) / np.prod(values.shape[2:])
    wanted = np.maximum(np.einsum('kn,khw->nhw', gains, values[0]), 0)
    found = grad_cam(net, features.repeat(6, axis=0), CLASSES, stage)
    assert relative_error(found, wanted) < 0.03


@pytest.mark.parametrize('changes', [dict(), dict(radix=1), dict(radix=4), dict(radix=2, cardinality=2)])
def test_attention_is_what_the_blocks_use(changes):
    """The weighted sum of the splits, made in NumPy with the weights, is the output of the convolution."""
    net, x = network(**changes), pictures()
    found = explain(net, x)
    block_input = outputs(net, x)[3]
    block = net.layer4[0]
    seen = []
    handles = [block.conv2.register_forward_hook(lambda _, inputs, out: seen.extend([inputs[0], out])),
               block.conv2.relu.register_forward_hook(lambda _, inputs, out: seen.append(out))]
    block(block_input)
    for handle in handles:
        handle.detach()
    splits, _, out = (array.asnumpy() for array in seen)
    radix = net.spec.radix
    splits = splits.reshape(2, radix, -1, *splits.shape[2:])
    for number, explanation in enumerate(found):
        assert [attention.stage for attention in explanation.attention] == [1, 2, 3, 4]
        weights = explanation.attention[-1].weights
        assert weights.shape == (radix, out.shape[1])
        assert relative_error(np.einsum('rc,rchw->chw', weights, splits[number]), out[number]) < 1e-5


@pytest.mark.parametrize('radix', [1, 2, 4])
def test_attention_adds_up_to_one(radix):
    """But a single split has a gate of its own."""
    for attention in explain(network(radix=radix), pictures(count=1))[0].attention:
        assert attention.weights.shape[0] == radix
        assert np.ptp(attention.weights) > 0.1
        if radix > 1:
            np.testing.assert_allclose(attention.weights.sum(axis=0), 1, atol=1e-6)


def same(found, wanted):
    assert (found.label, found.stage) == (wanted.label, wanted.stage)
    assert found.probability == pytest.approx(wanted.probability, rel=1e-3)
    np.testing.assert_allclose(found.cam, wanted.cam, atol=1e-3)
    for ours, theirs in zip(found.attention, wanted.attention):
        np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-4)


def test_a_hybridized_network_gives_the_same_and_stays_as_it_is():
    net, x = network(), pictures()
    wanted, logits = explain(net, x), net(x).asnumpy()
    net.hybridize(static_alloc=True)
    before = net(x).asnumpy()
    for found, each in zip(explain(net, x), wanted):
        same(found, each)
    np.testing.assert_array_equal(net(x).asnumpy(), before)
    assert relative_error(before, logits) < 1e-4
    assert net._active
    assert not net.layer1._forward_hooks


@needs_compiler
@pytest.mark.parametrize('radix', [1, 2])
def test_native_operators_give_the_same(radix):
    net, x = network(radix=radix), pictures()
    wanted = explain(net, x)
    assert native.use_native(net)
    for found, each in zip(explain(net, x), wanted):
        same(found, each)


def test_probabilities_and_labels():
    net, x = network(), pictures()
    logits = net(x).asnumpy()
    for number, found in enumerate(explain(net, x)):
        assert found.label == logits[number].argmax()
        assert found.probability == pytest.approx(mx.nd.softmax(net(x)).asnumpy().max(axis=1)[number], rel=1e-4)
    assert [found.label for found in explain(net, x, [3, 0])] == [3, 0]


@pytest.mark.parametrize('size, stage, shape', [(32, 2, (4, 4)), (64, 3, (4, 4)), (128, 4, (4, 4)), (17, 1, (5, 5))])
def test_small_pictures_are_mapped_by_an_earlier_stage(size, stage, shape):
    found, = explain(network(), pictures(size, 1))
    assert (found.stage, found.cam.shape) == (stage, shape)
    assert 0 <= found.cam.min() <= found.cam.max() <= 1
    assert explain(network(), pictures(size, 1), stage=4)[0].stage == 4


def test_a_network_without_attention():
    found, = explain(network(radix=0), pictures(count=1))
    assert found.attention == []
    assert found.cam.shape == (4, 4)
