"""The segmentation networks: official names, sizes, and their logits beside gluoncv's."""
import hashlib

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model, list_models
from resnest.gluon.nn import DropBlock, set_drop_probability, use_native
from resnest.gluon.tasks.segmentation import SEGMENTATION
from resnest.gluon.tasks.segmentation.resizing import resize_like, resize_to

from ...conftest import randomize, relative_error

# Of gluoncv 0.10.5's networks: arrays, values, sha256 of the sorted lines "name side,side,…" of all arrays.
OFFICIAL = {
    'deeplab_resnest50_ade': (447, 44065260, '1629856d45aeebdfc78728299d76b1c141ea919cb3e4e764f9eade840be79e8b'),
    'deeplab_resnest101_ade': (838, 64922572, 'cf01850aa1d7e9600da4c9b73c8f323bd484f5051524fa96c19d828f91294cff'),
    'deeplab_resnest200_ade': (1597, 86937420, '40849ed4bb740202150101dedaea58f8f54a088f21463301e8f9bc6a53a37b9f'),
    'deeplab_resnest269_ade': (2126, 127761356, '91a9552010b1b99ec4ce4eb749318fd0a4e4cf8313c6f5ff1ab4c167f5a7070f')}
SMALL = dict(blocks=(1, 1, 1, 1), stem_width=8, bottleneck_width=8, classes=5, rates=(1, 2, 3))


def small(**settings):
    return get_model('deeplab_resnest50_ade', **{**SMALL, **settings})


def ready(net):
    net.initialize(mx.init.MSRAPrelu(), force_reinit=True)
    return net


def images(*shape):
    return mx.nd.array(np.random.default_rng(3).normal(size=shape))


def slow_resize(x, height, width):
    """Bilinear, with aligned corners, one position after the other; NumPy in float64."""
    old_height, old_width = x.shape[2:]
    made = np.zeros((*x.shape[:2], height, width))
    for row in range(height):
        for column in range(width):
            y = row * (old_height - 1) / max(height - 1, 1)
            z = column * (old_width - 1) / max(width - 1, 1)
            top, left = int(y), int(z)
            bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
            y, z = y - top, z - left
            made[:, :, row, column] = (
                (1 - y) * ((1 - z) * x[:, :, top, left] + z * x[:, :, top, right])
                + y * ((1 - z) * x[:, :, bottom, left] + z * x[:, :, bottom, right]))
    return made


@pytest.mark.parametrize('name', OFFICIAL)
def test_official_names_and_shapes(name):
    shapes = {key: param.shape for key, param in get_model(name)._collect_params_with_prefix().items()}
    lines = sorted(f'{key} {",".join(map(str, shape))}' for key, shape in shapes.items())
    assert OFFICIAL[name] == (len(shapes), sum(int(np.prod(shape)) for shape in shapes.values()),
                              hashlib.sha256('\n'.join(lines).encode()).hexdigest())


@pytest.mark.parametrize('name, size', [
    ('deeplab_resnest50_ade', (72, 104)), pytest.param('deeplab_resnest101_ade', (64, 48), marks=pytest.mark.slow)])
def test_same_logits_as_gluoncv(name, size, tmp_path):
    """Of both heads at a fixed size, and at the image's."""
    gluoncv = pytest.importorskip('gluoncv.model_zoo', reason='gluoncv is an extra; make test installs it')
    file = tmp_path / 'weights.params'
    ours = randomize(get_model(name, height=size[0], width=size[1]))
    ours.save_parameters(str(file))
    theirs = gluoncv.get_model(name, pretrained_base=False, height=size[0], width=size[1])
    theirs.load_parameters(str(file))
    x = images(1, 3, *size)
    for found, wanted in zip(ours(x), theirs(x)):
        assert found.shape == (1, 150, *size)
        assert relative_error(found.asnumpy(), wanted.asnumpy()) < 1e-5
    ours.hybridize()
    x = x[:, :, 3:36, 5:46]
    assert relative_error(ours.predict(x).asnumpy(), theirs.predict(x).asnumpy()) < 1e-5


@pytest.mark.slow
def test_fcn_as_gluoncv(tmp_path):
    gluoncv = pytest.importorskip('gluoncv.model_zoo', reason='gluoncv is an extra; make test installs it')
    ours = randomize(get_model('deeplab_resnest50_ade', head='fcn', aux=False, classes=4))
    theirs = gluoncv.FCN(4, 'resnest50', aux=False, pretrained_base=False)
    ours.save_parameters(str(tmp_path / 'weights.params'))
    theirs.load_parameters(str(tmp_path / 'weights.params'))
    x = images(1, 3, 33, 49)
    assert relative_error(ours.predict(x).asnumpy(), theirs.predict(x)[0].asnumpy()) < 1e-5


@pytest.mark.parametrize('old, new', [((3, 5), (9, 7)), ((4, 1), (1, 6)), ((1, 1), (3, 2)), ((7, 6), (3, 11))])
def test_resizing(old, new):
    x = images(2, 3, *old)
    wanted = slow_resize(x.asnumpy().astype(np.float64), *new)
    assert relative_error(resize_like(mx.nd, x, mx.nd.zeros((1, 2, *new))).asnumpy(), wanted) < 1e-6
    assert relative_error(resize_to(mx.nd, x, *new).asnumpy(), wanted) < 1e-6


@pytest.mark.parametrize('stride', [8, 16])
def test_any_size_stride_and_backbone(stride):
    """Eager and hybridized agree, and the logits are the last stage's, resized."""
    net = ready(small(output_stride=stride, radix=1, in_channels=4))
    sizes = (40, 33), (57, 71)
    eager = [net.predict(images(2, 4, *size)).asnumpy() for size in sizes]
    net.hybridize(static_alloc=True)
    for size, wanted in zip(sizes, eager):
        x = images(2, 4, *size)
        assert net.predict(x).shape == (2, 5, *size)
        assert relative_error(net.predict(x).asnumpy(), wanted) < 1e-5
        last = super(type(net), net).hybrid_forward(mx.nd, x)[1]
        assert last.shape[2:] == tuple(-(-side // stride) for side in size)
        assert relative_error(slow_resize(net.head(last).asnumpy(), *size), wanted) < 1e-5


def test_training_form():
    """Logits at the crop's size, whatever the image's, and a gradient for every parameter."""
    net = ready(small(crop_size=24))
    net.hybridize()
    x = images(2, 3, 40, 33)
    with mx.autograd.record():
        logits, auxiliary = net(x)
        loss = (logits * images(2, 5, 24, 24)).sum() + (auxiliary * images(2, 5, 24, 24)).sum()
    loss.backward()
    assert logits.shape == auxiliary.shape == (2, 5, 24, 24)
    silent = [key for key, param in net._collect_params_with_prefix().items() if param.grad_req != 'null'
              and not key.endswith('fc1.bias') and not np.abs(param.grad().asnumpy()).max() > 0]
    assert silent == []


def test_the_prediction_follows_its_network(tmp_path):
    net = ready(small(dropblock_prob=0.1))
    net.hybridize()
    x = images(1, 3, 33, 40)
    before = net.predict(x).asnumpy()
    assert set_drop_probability(net, 0.2) == sum(isinstance(block, DropBlock) for block in blocks(net))
    assert np.array_equal(net.predict(x).asnumpy(), before)
    ready(net)
    other = net.predict(x).asnumpy()
    assert relative_error(other, before) > 0.01
    net.cast('float64')
    assert relative_error(net.predict(x.astype('float64')).asnumpy(), other) < 1e-4
    assert not [name for name in net._collect_params_with_prefix() if 'prediction' in name]


def test_native_operators_and_images_that_do_not_suit():
    net = ready(small(crop_size=24))
    x = images(2, 3, 40, 33)
    wanted = [net(x)[0], net(x)[1], net.predict(x)]
    if use_native(net):         # where there is a compiler
        assert [each.resize.native for each in (net, net.prediction)] == [True, True]
        net.hybridize()
        for found, pure in zip([*net(x), net.predict(x)], wanted):
            assert relative_error(found.asnumpy(), pure.asnumpy()) < 1e-5
    for shape in ((1, 4, 33, 33), (1, 3, 2, 33)):
        with pytest.raises(InputError, match='the network takes images'):
            net.predict(images(*shape))


def blocks(net):
    found = []
    net.apply(found.append)
    return found


def test_weights_of_other_classes(tmp_path):
    """From a mirror, as ``pretrained=True`` does: the last layers start anew; a file given by its path has to fit."""
    from resnest.gluon.models.weights.parameters import load_parameters
    file = tmp_path / 'weights.params'
    first = ready(small())
    first.save_parameters(str(file))
    net = small(classes=3)
    with pytest.raises(InputError, match=r'block.4.weight is \(5, .* \(4 differences\); it was made for 5 classes'):
        load_parameters(net, file)
    assert load_parameters(net, file, other_classes=True)
    assert net.predict(images(1, 3, 33, 33)).shape == (1, 3, 33, 33)
    assert np.array_equal(net.head.block[0].weight.data().asnumpy(), first.head.block[0].weight.data().asnumpy())
    bare = small(aux=False)         # passes over the auxiliary head
    assert not load_parameters(bare, file)
    assert np.array_equal(bare.predict(images(1, 3, 33, 33)).asnumpy(), first.predict(images(1, 3, 33, 33)).asnumpy())


def test_a_backbone_of_the_zoo(tmp_path):
    """``pretrained_base`` takes a classifier's file, and the heads are initialized."""
    classifier = randomize(get_model('resnest14', blocks=(1, 1, 1, 1), stem_width=8, bottleneck_width=8))
    classifier.save_parameters(str(tmp_path / 'classifier.params'))
    net = small(base='resnest14', pretrained_base=tmp_path / 'classifier.params')
    assert np.array_equal(net.layer4[0].conv1.weight.data().asnumpy(),
                          classifier.layer4[0].conv1.weight.data().asnumpy())
    assert np.isfinite(net.predict(images(1, 3, 33, 33)).asnumpy()).all()


def test_rows():
    assert list_models(task='segmentation', pretrained=True) == list(OFFICIAL) == list(SEGMENTATION)
    assert list_models('*101*', task='segmentation') == ['deeplab_resnest101_ade']
    spec = get_model('deeplab_resnest50_ade', output_stride=16).spec
    assert (spec.file, spec.data_set, spec.miou) == ('deeplab_resnest50_ade-a8312db6', 'ade20k', None)
    spec = get_model('deeplab_resnest50_ade', classes=19).spec
    assert (spec.sha1 is None, spec.data_set) == (False, None)
    assert small().spec.sha1 is None


@pytest.mark.parametrize('settings, wanted', [
    (dict(name='deeplab_resnest51_ade'), "did you mean 'deeplab_resnest50_ade'"),
    (dict(clases=3), "did you mean 'classes'"), (dict(raddix=3), "did you mean 'radix'"),
    (dict(head='unet'), 'head must be deeplab or fcn, got unet'), (dict(classes=0), 'classes must be at least 1'),
    (dict(output_stride=4), 'output_stride must be 8 or 16 or 32, got 4'),
    (dict(base='resnest51'), "did you mean 'resnest50'"), (dict(rates=(0, 1, 2)), 'rates must be three dilations'),
    (dict(rates='abc'), "rates of a network is a list of three whole numbers, got 'abc'"),
    (dict(crop_size=1.5), 'crop_size of a network is a whole number'), (dict(height=-1), 'height must be a whole'),
    (dict(aux=3), 'aux must be True or False, got 3'), (dict(pretrained=5), 'pretrained must be True, False or'),
    (dict(pretrained=True, radix=1), 'no weights are published for deeplab_resnest50_ade with other values'),
    (dict(norm_kwargs={'epsilonn': 1}), 'norm_layer does not take norm_kwargs: .*epsilonn'),
    (dict(prefix=3), 'prefix must be a str, got 3'), (dict(dropblock_prob=2), 'dropblock_prob must be in')])
def test_refusals(settings, wanted):
    with pytest.raises(InputError, match=wanted) as caught:
        get_model(**{'name': 'deeplab_resnest50_ade', **settings})
    assert '\n' not in str(caught.value)
    with pytest.raises(InputError, match='task must be one of classification, segmentation, .*, got segmentaton; did'):
        list_models(task='segmentaton')
