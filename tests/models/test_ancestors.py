"""The networks that ResNeSt came from: their names, fields and weights. Their layers: tests/nn/test_attentions.py."""
import dataclasses
import gzip
import json

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model, list_models
from resnest.gluon.models import VARIANTS, Features, find_variant
from resnest.gluon.models.variants import TIMM, our_name
from resnest.gluon.models.weights.conversion import convert, to_gluon, to_pytorch

from ..conftest import ROOT, randomize, relative_error
from .weights.timm_weights import image, weights

ANCESTORS = [name for name in list_models() if not name.startswith('resnest')]
TIMM_SHAPES = json.loads(gzip.decompress((ROOT / 'tests/expected/timm_family.json.gz').read_bytes()))
TIMM_LOGITS = np.load(ROOT / 'tests/expected/timm_family.npz')      # of timm_weights.py, as timm_logits.npz
SMALL = {'blocks': (1, 1, 1, 1), 'classes': 5}
ATTENTIONS = ('split', 'se', 'scse', 'sk', 'none')


def images(*shape):
    return mx.nd.array(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize('name, wanted', [('resnet50', 'resnet50_v1b'), ('resnet50d', 'resnet50_v1d'),
                                          ('seresnext50_32x4d', 'se_resnext50_32x4d'),
                                          ('resnet50.a1_in1k', 'resnet50_v1b'), ('resnest50d_1s4x24d', None),
                                          ('skresnet50.ra_in1k', 'skresnet50')])
def test_timms_names_are_taken(name, wanted):
    assert find_variant(name).name == our_name(name) == (wanted or TIMM[name])
    assert get_model(name, classes=0).spec.name == find_variant(name).name


@pytest.mark.parametrize('name', sorted(TIMM_SHAPES))
def test_timms_files_convert_there_and_back(name):
    """timm 1.0.31's names and shapes, and each value in its place."""
    arrays = {key: np.full(shape, number, 'i8' if key.endswith('tracked') else 'f4')
              for number, (key, shape) in enumerate(TIMM_SHAPES[name].items())}
    found = to_gluon(arrays, name)
    net = get_model(name)
    assert {key: array.shape for key, array in found.items()} == \
        {key: param.shape for key, param in net._collect_params_with_prefix().items()}
    back = to_pytorch(found, net.spec.attention)
    assert {key: array.shape for key, array in back.items()} == {key: array.shape for key, array in arrays.items()}
    for key, array in arrays.items():
        assert key.endswith('num_batches_tracked') or (back[key] == array).all()


@pytest.mark.parametrize('key', TIMM_LOGITS.files)
def test_logits_of_timm(key):
    name, size = key.split('/')
    net = get_model(name)
    arrays = to_gluon(weights({key: tuple(shape) for key, shape in TIMM_SHAPES[name].items()}), name)
    net.initialize()
    for key_of_ours, param in net._collect_params_with_prefix().items():
        param.set_data(mx.nd.array(arrays[key_of_ours]))
    found = net(mx.nd.array(image(*map(int, size.split('x'))))).asnumpy()
    assert relative_error(found, TIMM_LOGITS[key]) < 1e-5


def test_files_of_selective_kernels_bear_timms_names(tmp_path):
    net = randomize(get_model('skresnext50_32x4d', **SMALL))
    net.save_parameters(str(tmp_path / 'a.params'))
    blocks = {'blocks': [1, 1, 1, 1]}
    convert(tmp_path / 'a.params', tmp_path / 'b.safetensors', 'skresnext50_32x4d', options=blocks)
    convert(tmp_path / 'b.safetensors', tmp_path / 'c.params')
    x = images(2, 3, 48, 48)
    assert (get_model(tmp_path / 'c.params')(x) == net(x)).min() == 1
    assert get_model(tmp_path / 'c.params').spec == net.spec


@pytest.mark.parametrize('name', [name for name in ANCESTORS if '50' in name])
def test_hybridized_gradients_and_features(name):
    """Of a block a stage: eager and hybridized agree, and every learnable parameter gets a gradient."""
    net, x = randomize(get_model(name, **SMALL)), images(2, 3, 50, 65)
    eager = net(x).asnumpy()
    net.hybridize()
    assert relative_error(net(x).asnumpy(), eager) < 1e-5
    with mx.autograd.record():
        loss = (net(x) * images(2, 5)).sum()
    loss.backward()
    silent = [key for key, param in net._collect_params_with_prefix().items() if param.grad_req != 'null'
              and not np.abs(param.grad().asnumpy()).max() > 0]
    assert not silent
    backbone = Features(get_model(name, dilation=4, **SMALL), (0, 1, 4))
    randomize(backbone)
    assert [out.shape for out in backbone(x)] == [(2, 64, 25, 33), (2, 256, 13, 17), (2, 2048, 7, 9)]


@pytest.mark.parametrize('attention', ATTENTIONS)
@pytest.mark.parametrize('name', ['resnest50', 'resnet50_v1d', 'resnext50_32x4d'])
def test_any_network_takes_any_attention(name, attention):
    net = randomize(get_model(name, attention=attention, **SMALL))
    assert net.spec.attention == attention
    assert net(images(1, 3, 40, 33)).shape == (1, 5)
    assert (attention == VARIANTS[name].attention) == (f'attention={attention}' not in repr(net))


def test_without_attention_resnest_keeps_its_downsampling_and_radix_zero_does_not():
    plain, resnet_d = get_model('resnest50', attention='none'), get_model('resnest50', radix=0)
    assert plain.layer2[0].avd is not None
    assert resnet_d.layer2[0].avd is None
    assert plain._collect_params_with_prefix().keys() == resnet_d._collect_params_with_prefix().keys()


@pytest.mark.parametrize('options, wanted', [
    ({'attention': 'sE'}, "attention must be split or se or scse or sk or none, got sE"),
    ({'attention': None}, 'attention of a network is a text, got None'),
    ({'stem': 'wide'}, 'stem must be deep or plain or single, got wide'),
    ({'shortcut': 'max'}, 'shortcut must be pooled or strided, got max'),
    ({'rounding': 0}, 'rounding must be at least 1'),
    ({'attention': 'sk', 'halves': True, 'bottleneck_width': 1}, 'resnet50_v1b: 1 input and 1 output channels cannot'),
    ({'attention': 'sk', 'deformable_stages': (4,)}, 'resnet50_v1b: selective kernels have no deformable convolutions'),
])
def test_what_cannot_be_is_named(options, wanted):
    with pytest.raises(InputError, match=wanted):
        get_model('resnet50_v1b', **options)


def test_published_weights_are_gluoncvs_and_only_of_the_row():
    for name in ANCESTORS:
        spec = VARIANTS[name]
        assert bool(spec.sha1) == bool(spec.url) == (spec.top1 is not None) == ('sk' not in name)
        assert dataclasses.replace(spec, attention='scse').url is None
    assert VARIANTS['resnest14'].url == VARIANTS['resnet50_v1b'].url
    assert VARIANTS['resnest50'].url is None        # of the release


def test_images_of_other_channels_adapt_a_plain_stem(tmp_path):
    whole = randomize(get_model('resnet50_v1b', **SMALL))
    whole.save_parameters(str(tmp_path / 'a.params'))
    grey = get_model('resnet50_v1b', pretrained=tmp_path / 'a.params', in_channels=1, **SMALL)
    x = images(1, 1, 40, 40)
    assert relative_error(grey(x).asnumpy(), whole(mx.nd.concat(x, x, x, dim=1)).asnumpy()) < 1e-5
    grey.reset_classifier(3)
    assert grey(x).shape == (1, 3)
