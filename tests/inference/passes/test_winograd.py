"""Which convolutions become Winograd's, and what the network says then."""
import json

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.commands import export
from resnest.gluon import get_model
from resnest.gluon.inference import load, optimize
from resnest.gluon.models import ResNet, VariantSpec

from ...conftest import needs_compiler, randomize

pytestmark = needs_compiler
SPEC = VariantSpec('wide', (1, 1, 1, 1), stem_width=32)


def images(*shape):
    return mx.nd.array(np.random.default_rng(2).normal(size=shape))


def operators(made):
    return [node['op'] for node in json.loads(made.symbol.tojson())['nodes']]


@pytest.fixture(scope='module')
def network():
    return randomize(ResNet(SPEC, classes=10))


def difference(made, net, x):
    wanted = net(x).asnumpy()
    return np.abs(made(x).asnumpy() - wanted).max() / np.abs(wanted).max()


def test_logits(network, tmp_path):
    """As the report tells them; from files as well, and at sizes other than the example's."""
    x = images(4, 3, 40, 32)
    made = optimize(network, x)
    assert made.report['winograd_layers'] == ['conv1.3', 'conv1.6', 'layer1.0.conv2.conv', 'layer2.0.conv2.conv']
    assert operators(made).count('winograd_convolution') == 4
    made.export(tmp_path / 'net')
    read = load(tmp_path / 'net')
    for other in (x, images(1, 3, 33, 57), images(2, 3, 75, 41)):
        assert difference(made, network, other) < 1e-5
        assert np.array_equal(read(other).asnumpy(), made(other).asnumpy())
    assert difference(made, network, x) == pytest.approx(made.report['largest_difference'], rel=1e-3)


@pytest.mark.parametrize('settings', [dict(winograd=False), dict(native=False)], ids=str)
def test_switched_off(network, settings):
    x = images(4, 3, 40, 32)
    made = optimize(network, x, **settings)
    assert 'winograd_convolution' not in operators(made)
    assert 'winograd_layers' not in made.report


@pytest.mark.parametrize('options, used', [([], True), (['--no-winograd'], False)], ids=str)
def test_exported_by_the_command(tmp_path, capsys, options, used):
    """It names the layers, and writes the files without the operator where that is asked for."""
    randomize(get_model('resnest14', classes=4)).save_parameters(str(tmp_path / 'x.params'))
    export.main(['--model', 'resnest14', '--num-classes', '4', '--resume', str(tmp_path / 'x.params'), '--format',
                 'symbol', '--image-size', '32', '--output', str(tmp_path / 'made'), *options])
    assert ('winograd layers: conv1.3, ' in capsys.readouterr().out) is used
    assert ('winograd_convolution' in (tmp_path / 'made-symbol.json').read_text()) is used


def test_a_shape_that_is_given_decides(network):
    x = images(1, 3, 32, 32)
    assert optimize(network, x).report['winograd_layers'] == ['conv1.3', 'conv1.6']
    made = optimize(network, x, winograd=(1, 3, 224, 224))
    assert made.report['winograd_layers'][-1] == 'layer4.0.conv2.conv'
    assert difference(made, network, images(2, 3, 64, 50)) < 1e-5


# Filters and keywords of a convolution of 32 channels, and whether it suits.
LAYERS = [(32, {}, True), (48, dict(groups=1, activation='relu'), True), (64, dict(groups=2), False),
          (32, dict(dilation=2, padding=2), True), (32, dict(dilation=7, padding=7), False),
          (32, dict(dilation=2, padding=1), False), (40, {}, False), (32, dict(strides=2), False),
          (32, dict(padding=0), False), (32, dict(padding=(1, 0)), False), (32, dict(use_bias=False), False),
          (32, dict(kernel_size=5, padding=2), False), (32, dict(kernel_size=1, padding=0), False)]


@pytest.mark.parametrize('filters, keywords, suits', LAYERS, ids=str)
def test_of_what_kind_they_are(filters, keywords, suits):
    """The others stay, and the values are the same in either case."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(32, 1, in_channels=5),
            nn.Conv2D(filters, **{'kernel_size': 3, 'padding': 1, 'in_channels': 32, **keywords}), nn.ELU())
    randomize(net)
    x = images(3, 5, 17, 13)
    made = optimize(net, x)
    assert bool(made.report['winograd_layers']) is suits
    assert made.native is suits
    assert difference(made, net, x) < 1e-5


@pytest.mark.parametrize('shape, suits', [((1, 5, 56, 56), True), ((3, 5, 7, 7), True), ((16, 5, 4, 4), True),
                                          ((1, 5, 7, 7), False), ((64, 5, 2, 2), False), ((64, 5, 5, 5), False)],
                         ids=str)
def test_for_which_maps(shape, suits):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(32, 1, in_channels=5), nn.Conv2D(32, 3, padding=1, in_channels=32, activation='relu'))
    made = optimize(randomize(net), images(*shape))
    assert bool(made.report['winograd_layers']) is suits
