"""The networks against gluoncv's own, with the same random weights."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon import get_model
from resnest.gluon.models import VARIANTS
from resnest.gluon.models.weights.names import from_gluoncv

from ..conftest import randomize, relative_error

gluoncv = pytest.importorskip('gluoncv.model_zoo', reason='gluoncv is an extra; make test installs it')
model_store = pytest.importorskip('gluoncv.model_zoo.model_store')


ANCESTORS = [name for name, spec in VARIANTS.items() if spec.url and not name.startswith('resnest')]


def compare(ours, theirs, tmp_path, size):
    randomize(ours)
    ours.save_parameters(str(tmp_path / 'weights.params'))
    theirs.load_parameters(str(tmp_path / 'weights.params'))
    x = mx.nd.array(np.random.default_rng(3).normal(size=(2, 3, *size)))
    assert relative_error(ours(x).asnumpy(), theirs(x).asnumpy()) < 1e-4


@pytest.mark.parametrize('name', ANCESTORS)
def test_published_files_of_ancestors_fit(name):
    """Names and shapes; gluoncv's are 0 where only an input tells them."""
    theirs = from_gluoncv(gluoncv.get_model(name)._collect_params_with_prefix())
    ours = get_model(name)._collect_params_with_prefix()
    assert theirs.keys() == ours.keys()
    for key, param in theirs.items():
        shapes = zip(param.shape, ours[key].shape, strict=True)
        assert all(side in (0, own) for side, own in shapes), key
    spec = VARIANTS[name]
    assert spec.file == f'{name}-{model_store.short_hash(name)}'
    assert spec.sha1 == model_store._model_sha1[name]


@pytest.mark.parametrize('name, size', [
    (name, size) if '50' in name else pytest.param(name, size, marks=pytest.mark.slow)
    for name, size in zip(ANCESTORS, [(64, 64), (97, 130), (65, 34)] * 4)])
def test_logits_of_ancestors(name, size, tmp_path):
    """Of gluoncv's own file, with the weights of ours."""
    ours, theirs = randomize(get_model(name, classes=11)), gluoncv.get_model(name, classes=11)
    path = tmp_path / 'a.params'
    theirs.initialize()
    x = mx.nd.array(np.random.default_rng(3).normal(size=(2, 3, *size)))
    theirs(x)
    mine = ours._collect_params_with_prefix()
    for key, param in from_gluoncv(theirs._collect_params_with_prefix()).items():
        param.set_data(mine[key].data())
    theirs.save_parameters(str(path))
    assert relative_error(get_model(name, pretrained=path, classes=11)(x).asnumpy(), theirs(x).asnumpy()) < 1e-4


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
