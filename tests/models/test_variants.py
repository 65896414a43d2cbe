"""All networks of the table: shapes, modes, gradients, and the official names."""
import gzip
import json

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon import get_model, list_models
from resnest.gluon.models import VARIANTS

from ..conftest import ROOT, randomize, relative_error

OFFICIAL = json.loads(gzip.decompress((ROOT / 'tests/expected/official_parameters.json.gz').read_bytes()))
LARGE = {'resnest101', 'resnest200', 'resnest269'}
RESNESTS = list_models('resnest*')
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in RESNESTS]
TWO_OF_EACH_STAGE = (2, 2, 2, 2)


def images(*shape):
    return mx.nd.array(np.random.default_rng(0).normal(size=shape))


def test_the_table_begins_with_the_thirteen_networks():
    assert len(RESNESTS) == 13
    assert list_models()[:13] == RESNESTS
    assert set(OFFICIAL) == {name for name in RESNESTS if VARIANTS[name].sha1 and VARIANTS[name].url is None}


@pytest.mark.parametrize('name', list_models())
def test_names_shapes_and_counts(name):
    net = get_model(name)
    params = net._collect_params_with_prefix()
    if name in OFFICIAL:
        assert {key: list(param.shape) for key, param in params.items()} == OFFICIAL[name]
    count = sum(int(np.prod(param.shape)) for param in params.values() if param.grad_req != 'null')
    assert count == VARIANTS[name].parameters
    # The names of the children that heads reach for.
    for child in ['conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4', 'avgpool', 'flat', 'fc']:
        assert child in net._children


@pytest.mark.parametrize('name', ALL)
def test_forward_hybridized_and_gradients(name):
    """Eager and hybridized agree at two sizes, and every learnable parameter gets a gradient."""
    net = randomize(get_model(name, classes=7))
    inputs = [images(2, 3, 64, 64), images(1, 3, 75, 98)]
    eager = [net(x).asnumpy() for x in inputs]
    net.hybridize(static_alloc=True)
    for x, wanted in zip(inputs, eager):
        found = net(x).asnumpy()
        assert found.shape == (len(x), 7)
        assert np.isfinite(found).all()
        assert relative_error(found, wanted) < 1e-5
    with mx.autograd.record():
        loss = (net(inputs[0]) * images(2, 7)).sum()
    loss.backward()
    # A bias before a BatchNorm cannot have one: its gradient is zero but for rounding.
    silent = [key for key, param in net._collect_params_with_prefix().items() if param.grad_req != 'null'
              and not key.endswith('fc1.bias') and not np.abs(param.grad().asnumpy()).max() > 0]
    assert not silent


@pytest.mark.parametrize('dilation, stride', [(1, 32), (2, 16), (4, 8)])
@pytest.mark.parametrize('name', list_models('*fast*') + ['resnest50'])
def test_dilation_keeps_the_promised_stride(name, dilation, stride):
    net = get_model(name, dilation=dilation)
    x = mx.sym.var('data')
    for child in (net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
        x = child(x)
    _, (shape,), _ = x.infer_shape(data=(1, 3, 128, 192))
    assert shape == (1, 2048, 128 // stride, 192 // stride)


@pytest.mark.parametrize('settings, channels', [(dict(in_channels=1), 1), (dict(in_channels=5, radix=0), 5),
                                                (dict(radix=3), 3), (dict(final_drop=0.5), 3)])
@pytest.mark.parametrize('size', [17, 31, 33])
def test_any_channels_radix_and_size(settings, channels, size):
    if settings.get('radix') == 3:
        settings = {**settings, 'bottleneck_width': 48}     # 48 channels fall into three splits
    net = randomize(get_model('resnest14', classes=3, **settings))
    assert np.isfinite(net(images(2, channels, size, size + 1)).asnumpy()).all()


def test_another_norm_layer_reaches_every_normalization():
    made = []

    class Norm(mx.gluon.nn.BatchNorm):
        def __init__(self, **kwargs):
            made.append(kwargs)
            super().__init__(**kwargs)

    net = get_model('resnest50', norm_layer=Norm, norm_kwargs={'epsilon': 1e-3})
    plain = [key for key in net._collect_params_with_prefix() if key.endswith('gamma')]
    assert len(made) == len(plain)
    assert all(kwargs['epsilon'] == 1e-3 for kwargs in made)


def test_last_gamma_starts_each_block_at_its_shortcut():
    net = get_model('resnest26', last_gamma=True)
    net.initialize()
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            assert (block.bn3.gamma.data().asnumpy() == 0).all()
            assert (block.bn1.gamma.data().asnumpy() == 1).all()
    block, x = net.layer1[1], mx.nd.abs(images(1, 256, 8, 8))
    np.testing.assert_array_equal(block(x).asnumpy(), x.asnumpy())


def test_dropblock_stands_in_the_last_two_stages():
    net = get_model('resnest50', dropblock_prob=0.1)
    for stage, wanted in ((net.layer1, False), (net.layer2, False), (net.layer3, True), (net.layer4, True)):
        for block in stage:
            assert [block.dropblock1 is not None, block.dropblock2 is not None, block.dropblock3 is not None] == \
                [wanted] * 3
    assert {key: param.shape for key, param in net._collect_params_with_prefix().items()}.keys() == \
        OFFICIAL['resnest50'].keys()


def test_evaluation_of_a_network_with_dropblock_and_dropout_is_that_without():
    settings = dict(classes=5, blocks=TWO_OF_EACH_STAGE)
    plain = randomize(get_model('resnest50', **settings))
    dropping = randomize(get_model('resnest50', dropblock_prob=0.3, final_drop=0.3, **settings))
    x = images(2, 3, 64, 64)
    dropping.hybridize()
    with mx.autograd.record():
        trained = dropping(x).asnumpy()
    # BatchNorm sees the batch in training, so only the difference between two draws shows the dropping.
    with mx.autograd.record():
        assert np.abs(dropping(x).asnumpy() - trained).max() > 1e-3
    randomize(dropping)     # training has moved the running statistics
    np.testing.assert_allclose(dropping(x).asnumpy(), plain(x).asnumpy(), rtol=1e-5, atol=1e-5)
