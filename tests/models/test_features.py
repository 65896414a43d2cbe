"""The outputs of the stages, against the children run by hand."""
import dataclasses

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.models import VARIANTS, Features, ResNet

from ..conftest import TINY, randomize

ALL = (0, 1, 2, 3, 4)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """A small network takes the place of resnest14."""
    monkeypatch.setitem(VARIANTS, 'resnest14', dataclasses.replace(TINY, name='resnest14'))


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    """Parameters of the whole network, and that network."""
    path = tmp_path_factory.mktemp('features') / 'whole.params'
    net = randomize(ResNet(TINY, classes=5))
    net.save_parameters(str(path))
    return path, net


def by_hand(net, x):
    outputs = [net.relu(net.bn1(net.conv1(x)))]
    outputs.append(net.layer1(net.maxpool(outputs[0])))
    for stage in (net.layer2, net.layer3, net.layer4):
        outputs.append(stage(outputs[-1]))
    return [output.asnumpy() for output in outputs]


@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('indices', [ALL, (1, 2, 3, 4), (2,), (0,), (0, 3), (4,)])
def test_outputs_are_those_of_the_children(file, indices, hybridize):
    path, whole = file
    net = get_model('resnest14', pretrained=path, features_only=True, out_indices=indices)
    if hybridize:
        net.hybridize(static_alloc=True)
    x = mx.nd.random.normal(shape=(2, 3, 45, 52))
    outputs = net(x)
    assert isinstance(outputs, tuple)
    assert len(outputs) == len(indices)
    wanted = by_hand(whole, x)
    for index, output in zip(indices, outputs):
        np.testing.assert_allclose(output.asnumpy(), wanted[index], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dilation, strides', [(1, (2, 4, 8, 16, 32)), (2, (2, 4, 8, 16, 16)), (4, (2, 4, 8, 8, 8))])
def test_strides_and_channels(dilation, strides):
    net = get_model('resnest14', features_only=True, out_indices=ALL, dilation=dilation)
    net.initialize()
    assert net.strides == strides
    assert net.channels == (16, 256, 512, 1024, 2048)
    assert net.out_indices == ALL
    for output, channels, stride in zip(net(mx.nd.ones((1, 3, 70, 33))), net.channels, net.strides):
        assert output.shape == (1, channels, -(-70 // stride), -(-33 // stride))
    few = get_model('resnest14', features_only=True, out_indices=(0, 3), dilation=dilation, stem_width=32)
    assert (few.strides, few.channels) == ((2, strides[3]), (64, 1024))


@pytest.mark.parametrize('name', ['resnest50', 'resnest101', 'resnest50_fast_4s2x40d'])
def test_names_are_those_of_the_checkpoint(name):
    """Every parameter but those of what comes after the last output."""
    whole = get_model(name)._collect_params_with_prefix()
    for indices, left_out in (((1, 2, 3, 4), ('fc.',)), ((2,), ('layer3.', 'layer4.', 'fc.'))):
        found = get_model(name, features_only=True, out_indices=indices)._collect_params_with_prefix()
        assert {key: param.shape for key, param in found.items()} == \
            {key: param.shape for key, param in whole.items() if not key.startswith(left_out)}


def test_published_weights_load(file, tmp_path, monkeypatch):
    """pretrained=True, and Gluon's own load_parameters; what belongs to the children that are there must fit."""
    path, whole = file
    monkeypatch.setattr('resnest.gluon.models.weights.store.model_file', lambda spec, root: path)
    x = mx.nd.ones((1, 3, 32, 32))
    wanted = by_hand(whole, x)[2]
    net = get_model('resnest14', True, features_only=True, out_indices=(2,))
    np.testing.assert_array_equal(net(x)[0].asnumpy(), wanted)
    net = get_model('resnest14', features_only=True, out_indices=(2,))
    net.load_parameters(str(path), ignore_extra=True)
    np.testing.assert_array_equal(net(x)[0].asnumpy(), wanted)
    with pytest.raises(InputError, match='layer1.0.conv2.conv.weight is'):
        get_model('resnest14', pretrained=path, features_only=True, radix=1)


def test_as_a_backbone_under_training(tiny):
    """In a hybridized block of a head's; each parameter that is left gets a gradient."""
    class Head(mx.gluon.HybridBlock):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone

        def hybrid_forward(self, F, x):
            low, high = self.backbone(x)
            return F.mean(low) + F.mean(high)

    net = Head(Features(tiny(), (2, 4)))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    with mx.autograd.record():
        loss = net(mx.nd.random.normal(shape=(2, 3, 64, 64)))
    loss.backward()
    for name, param in net._collect_params_with_prefix().items():
        if param.grad_req != 'null' and name.endswith('weight'):
            assert np.abs(param.grad().asnumpy()).max() > 0, name


@pytest.mark.parametrize('indices', [(), (5,), (-1,), (2, 1), (1, 1)])
def test_other_indices_are_refused(indices):
    with pytest.raises(ValueError, match='out_indices'):
        get_model('resnest14', features_only=True, out_indices=indices)
