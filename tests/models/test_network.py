"""One network: its head taken off and put on, its copies, what it says of itself, and what it refuses."""
import copy
import dataclasses
import pickle

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.data import with_normalization
from resnest.gluon.models import VARIANTS, Features, ResNet
from resnest.gluon.models.weights.parameters import adapt_channels

from ..conftest import TINY, randomize


def images(*shape):
    return mx.nd.array(np.random.default_rng(0).normal(size=shape))


@pytest.fixture
def _small(monkeypatch):
    """A small network takes the place of resnest14."""
    monkeypatch.setitem(VARIANTS, 'resnest14', dataclasses.replace(TINY, name='resnest14'))


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    """Parameters of a whole network, and that network."""
    path = tmp_path_factory.mktemp('network') / 'whole.params'
    net = randomize(ResNet(TINY, classes=5))
    net.save_parameters(str(path))
    return path, net


@pytest.mark.usefixtures('_small')
@pytest.mark.parametrize('hybridize', [False, True])
def test_features_before_and_after_pooling(file, hybridize):
    """Against NumPy: the mean over the positions, and the product with the classifier's weights."""
    path, whole = file
    net = get_model('resnest14', pretrained=path, classes=0)
    assert net.fc is None
    assert not any(name.startswith('fc.') for name in net._collect_params_with_prefix())
    if hybridize:
        net.hybridize(static_alloc=True)
    x = images(2, 3, 65, 40)
    before, pooled = net.forward_features(x).asnumpy(), net(x).asnumpy()
    assert before.shape == (2, 2048, 3, 2)
    np.testing.assert_allclose(pooled, before.mean(axis=(2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(pooled @ whole.fc.weight.data().asnumpy().T + whole.fc.bias.data().asnumpy(),
                               whole(x).asnumpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(whole.forward_features(x).asnumpy(), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('hybridize', [False, True])
def test_another_classifier(file, hybridize):
    net = copy.deepcopy(file[1])
    names, x = list(net.collect_params()), images(2, 3, 32, 32)
    if hybridize:
        net.hybridize()
    before = net.forward_features(x).asnumpy()
    logits = net(x)
    net.reset_classifier(7)
    assert (net(x).shape, net.classes, list(net.collect_params())) == ((2, 7), 7, names)
    learning = copy.deepcopy(net)
    with mx.autograd.record():
        learning(x).sum().backward()
    assert np.abs(learning.fc.weight.grad().asnumpy()).max() > 0
    np.testing.assert_array_equal(net.forward_features(x).asnumpy(), before)
    net.reset_classifier(0)
    np.testing.assert_allclose(net(x).asnumpy(), before.mean(axis=(2, 3)), rtol=1e-4, atol=1e-6)
    net.reset_classifier(5)
    net.load_parameters(str(file[0]))       # the official names are there again
    np.testing.assert_array_equal(net(x).asnumpy(), logits.asnumpy())
    with pytest.raises(InputError, match='classes must be a whole number of at least 0'):
        net.reset_classifier('5')
    untouched = ResNet(TINY, classes=3)
    untouched.reset_classifier(4)           # no values yet
    untouched.cast('float16')
    untouched.reset_classifier(6)
    assert (untouched.fc.weight.shape, np.dtype(untouched.fc.weight.dtype)) == ((6, 2048), np.float16)


@pytest.mark.usefixtures('_small')
@pytest.mark.parametrize('channels', [1, 2, 3, 5])
def test_images_of_other_channels(file, channels):
    """timm's rule, channel by channel; a grey image gives what it gave as three equal channels."""
    path, whole = file
    weight = whole.conv1[0].weight.data().asnumpy()
    wanted = np.stack([weight.sum(axis=1) if channels == 1 else weight[:, channel % 3] * 3 / channels
                       for channel in range(channels)], axis=1)
    np.testing.assert_allclose(adapt_channels(weight, channels), wanted, rtol=1e-6)
    net = get_model('resnest14', classes=5, pretrained=path, in_chans=channels)
    np.testing.assert_allclose(net.conv1[0].weight.data().asnumpy(), wanted, rtol=1e-6)
    grey = images(2, 1, 32, 33)
    if channels in (1, 3):
        np.testing.assert_allclose(net(mx.nd.repeat(grey, channels, axis=1)).asnumpy(),
                                   whole(mx.nd.repeat(grey, 3, axis=1)).asnumpy(), rtol=1e-3, atol=1e-4)
    features = get_model('resnest14', pretrained=path, in_channels=channels, features_only=True, out_indices=(1,))
    np.testing.assert_allclose(features.conv1[0].weight.data().asnumpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize('kind', ['new', 'eager', 'hybridized', 'features', 'pixels'])
def test_copies_have_the_values_and_learn(file, kind, duplicate):
    net = {'new': lambda: ResNet(TINY, classes=5), 'features': lambda: Features(copy.deepcopy(file[1]), (2,)),
           'pixels': lambda: with_normalization(file[1])}.get(kind, lambda: file[1])()
    x = mx.nd.array(np.random.default_rng(1).integers(0, 255, (2, 32, 32, 3)), dtype='uint8') if kind == 'pixels' \
        else images(2, 3, 32, 32)
    net.hybridize(kind in ('hybridized', 'features', 'pixels'))
    if kind == 'new':
        duplicate(net).initialize()
        net.initialize()

    def logits(net):
        found = net(x)
        return found[0] if isinstance(found, tuple) else found

    wanted = logits(net).asnumpy()
    made = duplicate(net)
    np.testing.assert_array_equal(logits(made).asnumpy(), wanted)
    with mx.autograd.record():
        loss = (logits(made) ** 2).sum()
    loss.backward()
    trainer = mx.gluon.Trainer(made.collect_params(), 'sgd', {'learning_rate': 0.1})
    trainer.step(1)
    assert np.abs(logits(made).asnumpy() - wanted).max() > 1e-3
    np.testing.assert_array_equal(logits(net).asnumpy(), wanted)        # the original has learned nothing
    np.testing.assert_array_equal(logits(duplicate(made)).asnumpy(), logits(made).asnumpy())


def test_what_networks_say_of_themselves():
    net = get_model('resnest14', radix=1, classes=7, dilation=2, in_channels=1)
    assert repr(net) == 'ResNet(resnest14, radix=1, in_channels=1, dilation=2, classes=7)'
    assert repr(ResNet(TINY, classes=10)) == 'ResNet(tiny, classes=10)'
    assert str(net).startswith('ResNet(\n  (conv1)')
    assert str(net).count('\n') > 50     # Gluon's tree
    assert repr(get_model('resnest50', features_only=True, dilation=2, out_indices=(2, 4))) == \
        'Features(resnest50, dilation=2, out_indices=(2, 4), strides=(8, 16), channels=(512, 2048))'


@pytest.mark.parametrize('hybridize', [False, True])
def test_images_that_do_not_suit(tiny, hybridize):
    for net, least in ((tiny(), 17), (tiny(dilation=2), 9), (Features(tiny(), (1, 3)), 9), (Features(tiny(), (0,)), 1)):
        randomize(net)
        net.hybridize(hybridize)
        outputs = net(images(1, 3, least, least + 1))
        assert np.isfinite((outputs[-1] if isinstance(outputs, tuple) else outputs).asnumpy()).all()
        wrong = {images(1, 3, least - 1, 64): f'at least {least} x {least} px, got {least - 1} x 64',
                 images(1, 3, 64, least - 1): f'at least {least} x {least} px'} if least > 1 else {}
        for x, wanted in {**wrong, images(1, 1, 32, 32): r'takes images \(N, 3, H, W\), got \(1, 1, 32, 32\)',
                          images(3, 32, 32): r'takes images \(N, 3, H, W\), got \(3, 32, 32\)',
                          mx.nd.ones((1, 3, 32, 32), dtype='uint8'): 'of uint8: .*with_normalization',
                          mx.nd.ones((1, 3, 32, 32), dtype='float64'): r"of float64: x.astype\('float32'\)",
                          'image': 'as an NDArray, got str'}.items():
            with pytest.raises(InputError, match=wanted) as caught:
                net(x)
            assert '\n' not in str(caught.value)
        with pytest.raises(InputError, match=r'got ndarray: mx.nd.array\(x, '):
            net(np.ones((1, 3, 32, 32)))
    with pytest.raises(InputError, match='at least 17 x 17'):
        tiny().forward_features(images(1, 3, 16, 16))
