"""int8 networks against the float32 logits: which layers are left, with and without the native operators."""
import os
import shutil
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import with_normalization
from resnest.gluon.inference import load, optimize
from resnest.gluon.inference.int8.ranges import find_ranges
from resnest.gluon.models import ResNet, VariantSpec
from resnest.gluon.nn import native

from ...conftest import ROOT, TINY, randomize

compiled = pytest.mark.skipif(shutil.which(os.environ.get('CXX') or 'g++') is None,
                              reason='no C++ compiler to build the native operators with')
EITHER = [pytest.param(True, marks=compiled, id='native'), pytest.param(False, id='pure')]
VARIANTS = {'radix 0': dict(radix=0), 'radix 1': dict(radix=1), 'radix 2': {}, 'radix 4': dict(radix=4),
            'cardinality 2': dict(cardinality=2), 'pooling first': dict(avd_first=True)}


def network(**settings):
    return randomize(ResNet(VariantSpec('tiny', **{'blocks': (1, 1, 1, 1), 'bottleneck_width': 8, 'stem_width': 8,
                                                   **settings}), classes=10))


def images(count, size=32, seed=1):
    """Coarse patterns, which tell more than noise."""
    patterns = np.random.default_rng(seed).normal(0, 2, size=(count, 3, 4, 4))
    return mx.nd.array(patterns.repeat(size // 4, axis=2).repeat(size // 4, axis=3))


def decided():
    """A network whose classes are what its features differ most in, and images that it is sure of."""
    net, x = network(), images(300)
    features = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4, net.avgpool, net.flat):
        features = stage(features)
    features = features.asnumpy()
    mean = features.mean(axis=0)
    _, sizes, directions = np.linalg.svd(features - mean, full_matrices=False)
    weight = directions[:3] / sizes[:3, None]
    weight = np.concatenate([weight, -weight, np.zeros((4, weight.shape[1]))])
    net.fc.weight.set_data(mx.nd.array(weight))
    net.fc.bias.set_data(mx.nd.array(-weight @ mean))
    ordered = np.sort(net(x).asnumpy(), axis=1)
    return net, mx.nd.take(x, mx.nd.array(np.argsort(ordered[:, -2] - ordered[:, -1])[:80]))


def distance(found, wanted):
    """Root mean square of the difference, relative to the logits."""
    return np.sqrt(np.square(found - wanted).mean() / np.square(wanted).mean())


def spoil(net):
    """Let one channel dwarf its neighbours and undo that in the next layer: the logits stay, int8 loses the others."""
    norm, reader = net.conv1[4], net.conv1[6]
    factor = np.ones(norm.gamma.shape[0], dtype='float32')
    factor[0] = 1e4
    for param, scale in ((norm.gamma, factor), (norm.beta, factor), (reader.weight, 1 / factor[None, :, None, None])):
        param.set_data(param.data() * mx.nd.array(scale))
    return net


@pytest.mark.parametrize('native_operators', EITHER)
@pytest.mark.parametrize('settings', VARIANTS.values(), ids=list(VARIANTS))
def test_logits_stay_close(settings, native_operators):
    net = network(**settings)
    x = images(24)
    made = optimize(net, x, 'int8', [x], native=native_operators, agreement=0)
    assert made.report['in_float32'] == []
    assert made.report['native_operators'] == (native_operators and settings.get('radix') != 0)
    operators = made.symbol.tojson()
    assert operators.count('"op": "split_attention_int8"') == (4 if made.report['native_operators'] else 0)
    assert distance(made(x).asnumpy(), net(x).asnumpy()) < 0.3
    x = images(3, 48, seed=2)       # another batch and size than it was calibrated with
    assert distance(made(x).asnumpy(), net(x).asnumpy()) < 0.3


class Tanh(mx.gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.tanh(x) * 9


@compiled
def test_attention_with_a_normalization_that_is_not_folded_is_not_fused():
    settings = dict(blocks=(1, 1, 1, 1), bottleneck_width=20, stem_width=8)     # 32 channels are the attention's own
    net = randomize(ResNet(VariantSpec('tiny', **settings), classes=10, norm_layer=lambda in_channels: (
        Tanh() if in_channels == 32 else mx.gluon.nn.BatchNorm(in_channels=in_channels))))
    made = optimize(net, images(4), 'int8', [images(24)], native=True, agreement=0)
    assert '"op": "tanh"' in made.symbol.tojson()
    assert distance(made(images(24)).asnumpy(), net(images(24)).asnumpy()) < 0.3


@pytest.mark.parametrize('native_operators', EITHER)
def test_the_layers_that_int8_harms_are_left_in_float32(native_operators):
    net, x = decided()
    spoil(net)
    wanted = net(x).asnumpy().argmax(axis=1)
    assert len(set(wanted)) == 6
    bad = optimize(net, x, 'int8', [x], native=native_operators, agreement=0)
    assert (bad(x).asnumpy().argmax(axis=1) == wanted).mean() == bad.report['top1_agreement'] < 0.9
    good = optimize(net, x, 'int8', [x], native=native_operators)
    assert (good(x).asnumpy().argmax(axis=1) == wanted).mean() == good.report['top1_agreement'] >= 0.995
    assert good.report['in_float32'] == ['conv1.3', 'conv1.6']
    assert good.report['int8_layers'] + len(good.report['in_float32']) == bad.report['int8_layers']


def test_a_network_that_int8_does_not_harm_stays_whole():
    net, x = decided()
    made = optimize(net, x, 'int8', [(x[:50], None), (x[50:], None)])
    assert (made.report['in_float32'], made.report['calibration_images']) == ([], 80)
    assert made.report['top1_agreement'] >= 0.995


@pytest.mark.parametrize('native_operators', EITHER)
def test_nothing_is_left_in_int8_where_nothing_else_agrees(native_operators):
    net = network()
    x = images(24)
    made = optimize(net, x, 'int8', [x], native=native_operators, agreement=1.1)
    assert made.report['int8_layers'] == 0
    assert distance(made(x).asnumpy(), net(x).asnumpy()) < 1e-4


@pytest.mark.parametrize('native_operators', EITHER)
def test_entropy_of_a_whole_network(native_operators):
    net, x = decided()
    made = optimize(net, x, 'int8', [x[:40]], 'entropy', native_operators, agreement=0)
    assert made.report['calibration_mode'] == 'entropy'
    assert (made(x).asnumpy().argmax(axis=1) == net(x).asnumpy().argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize('native_operators', EITHER)
def test_uint8_images_behind_the_normalization(native_operators):
    net = with_normalization(network())
    x = mx.nd.array(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)), dtype='uint8')
    made = optimize(net, x, 'int8', [x], native=native_operators, agreement=0)
    assert distance(made(x).asnumpy(), net(x).asnumpy()) < 0.2


def test_naive_ranges_are_the_extremes(tiny):
    x = mx.sym.var('data')
    symbol = mx.sym.Activation(mx.sym.FullyConnected(x, num_hidden=3, name='fc'), act_type='relu', name='relu')
    rng = np.random.default_rng(0)
    args = {'fc_weight': mx.nd.array(rng.normal(size=(3, 5))), 'fc_bias': mx.nd.array(rng.normal(size=3))}
    batches = [mx.nd.array(rng.normal(size=(4, 5))), mx.nd.array(rng.normal(size=(2, 5)))]
    ranges, outputs = find_ranges(symbol, args, {}, batches, {'data', 'fc_output', 'relu_output'}, 'naive')
    data = np.concatenate([batch.asnumpy() for batch in batches])
    dense = data @ args['fc_weight'].asnumpy().T + args['fc_bias'].asnumpy()
    np.testing.assert_allclose(outputs, np.maximum(dense, 0), rtol=1e-5)
    for name, values in {'data': data, 'fc_output': dense, 'relu_output': np.maximum(dense, 0)}.items():
        np.testing.assert_allclose(ranges[name], (values.min(), values.max()), rtol=1e-5)


def test_entropy_ranges_cut_a_lonely_outlier():
    symbol = mx.sym.identity(mx.sym.var('data'), name='same')
    values = np.random.default_rng(0).normal(size=(1, 200_000)).astype('float32')
    values[0, 0] = 100
    ranges, _ = find_ranges(symbol, {}, {}, [mx.nd.array(values)], {'same_output'}, 'entropy')
    low, high = ranges['same_output']
    assert -low == high
    assert 2 < high < 50


def test_entropy_ranges_know_nothing_of_batches():
    """Also where an array is silent in the first one."""
    symbol = mx.sym.identity(mx.sym.var('data'), name='same')
    values = np.random.default_rng(0).normal(size=(6, 10_000)).astype('float32')
    values[:2] = 0
    whole, parts = (find_ranges(symbol, {}, {}, [mx.nd.array(part) for part in np.split(values, count)],
                                {'same_output'}, 'entropy')[0] for count in (1, 3))
    assert whole == parts
    assert parts['same_output'][1] > 2


FRESH = """
import mxnet as mx, sys
{before}
net = {load}
print(net(mx.nd.load({x!r})[0]).argmax(axis=1).asnumpy().astype(int).tolist())
"""


def fresh(code, **environment):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/', check=False,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), **environment})


@pytest.mark.parametrize('native_operators', EITHER)
def test_exported_files_in_a_fresh_process(tmp_path, native_operators):
    net, x = decided()
    made = optimize(net, x, 'int8', [x], native=native_operators, agreement=0)
    prefix, data = str(tmp_path / 'net'), str(tmp_path / 'x')
    made.export(prefix)
    mx.nd.save(data, [x])
    wanted = str(made(x).argmax(axis=1).asnumpy().astype(int).tolist())
    done = fresh(FRESH.format(before='from resnest.gluon.inference import load', load=f'load({prefix!r})', x=data))
    assert done.stdout.strip() == wanted, done.stderr
    plain = f'mx.gluon.SymbolBlock.imports({prefix + "-symbol.json"!r}, ["data"], {prefix + "-0000.params"!r})'
    library = native.library('split_attention_int8')
    before = f'mx.library.load({str(library)!r}, False)' if native_operators else ''
    done = fresh(FRESH.format(before=before, load=plain, x=data), PYTHONPATH='')
    assert done.stdout.strip() == wanted, done.stderr
    assert load(prefix).native == native_operators
    if native_operators:
        done = fresh(f'from resnest.gluon.inference import load\nload({prefix!r})', RESNEST_NATIVE='0')
        assert f'{prefix}.json: the network needs the native operators' in done.stderr


@pytest.mark.parametrize('wrong, message', [
    (dict(calibration=[]), 'calibration'), (dict(calibration=None), 'calibration'),
    (dict(calibration=[images(2), images(2) * np.nan, images(2)], calibration_mode='entropy'), 'not finite'),
    (dict(calibration=[images(2, 48)]), r'\(3, 48, 48\)')], ids=str)
def test_bad_input_is_refused(wrong, message):
    x = images(2)
    with pytest.raises(InputError, match=message):
        optimize(network(), x, 'int8', **{'calibration': [x], **wrong})


def test_without_a_compiler_it_is_pure(tmp_path, monkeypatch):
    monkeypatch.setenv('RESNEST_NATIVE', '0')
    net = randomize(ResNet(TINY, classes=10))
    x = images(4)
    assert optimize(net, x, 'int8', [x], agreement=0).report['native_operators'] is False
    with pytest.raises(InputError, match='native operators'):
        optimize(net, x, 'int8', [x], native=True)
