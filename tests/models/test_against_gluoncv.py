"""The networks against gluoncv's own, with the same random weights."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon import get_model

from ..conftest import randomize, relative_error

gluoncv = pytest.importorskip('gluoncv.model_zoo', reason='gluoncv is an extra; make test installs it')


def compare(ours, theirs, tmp_path, size):
    randomize(ours)
    ours.save_parameters(str(tmp_path / 'weights.params'))
    theirs.load_parameters(str(tmp_path / 'weights.params'))
    x = mx.nd.array(np.random.default_rng(3).normal(size=(2, 3, *size)))
    assert relative_error(ours(x).asnumpy(), theirs(x).asnumpy()) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('name, size', [('resnest50', (97, 130)), ('resnest101', (64, 96)),
                                        ('resnest200', (96, 64)), ('resnest269', (64, 64))])
def test_same_logits(name, size, tmp_path):
    compare(get_model(name), gluoncv.get_model(name), tmp_path, size)


@pytest.mark.slow
def test_same_logits_dilated(tmp_path):
    compare(get_model('resnest50', dilation=4), gluoncv.get_model('resnest50', dilated=True), tmp_path, (65, 72))


@pytest.mark.slow
def test_radix_zero_is_resnet_d():
    """gluoncv names the children otherwise but in the same order."""
    ours, theirs = randomize(get_model('resnest50', radix=0)), gluoncv.get_model('resnet50_v1d')
    theirs.initialize()
    x = mx.nd.array(np.random.default_rng(3).normal(size=(2, 3, 97, 128)))
    theirs(x)
    mine = by_layer(ours._collect_params_with_prefix(), {})
    other = by_layer(theirs._collect_params_with_prefix(), RESNET_D)
    assert mine.keys() == other.keys()
    for name, param in mine.items():
        other[name].set_data(param.data())
    assert relative_error(ours(x).asnumpy(), theirs(x).asnumpy()) < 1e-4


# gluoncv's names inside a block → ours
RESNET_D = {'body.0': 'conv1', 'body.1': 'bn1', 'body.3': 'conv2', 'body.4': 'bn2', 'body.6': 'conv3', 'body.7': 'bn3'}


def by_layer(params, names):
    renamed = {}
    for key, param in params.items():
        for old, new in names.items():
            key = key.replace(f'.{old}.', f'.{new}.')
        renamed[key] = param
    return renamed
