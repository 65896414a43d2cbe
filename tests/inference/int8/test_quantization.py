"""int8 networks against the float32 logits: which layers are left, with and without the native operators."""
import functools
import os
import shutil
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import with_normalization
from resnest.gluon.graph import from_symbol, output_name, walk
from resnest.gluon.inference import load, optimize
from resnest.gluon.inference.int8.ranges import find_ranges, run
from resnest.gluon.models import Features, ResNet, VariantSpec
from resnest.gluon.nn import native

from ...conftest import ROOT, TINY, needs_compiler, randomize, relative_error

EITHER = [pytest.param(True, marks=needs_compiler, id='native'), pytest.param(False, id='pure')]
# Settings, and how far int8 may be from float32.
VARIANTS = {'radix 0': (dict(radix=0), 0.11), 'radix 1': (dict(radix=1), 0.12), 'radix 2': ({}, 0.13),
            'radix 4': (dict(radix=4), 0.3), 'cardinality 2': (dict(cardinality=2), 0.21),
            'pooling first': (dict(avd_first=True), 0.13)}
OTHERS = {'none': (dict(attention='none', avd=False, stem='plain', shortcut='strided', cardinality=2), 0.2),
          'se': (dict(attention='se'), 0.2), 'scse': (dict(attention='scse'), 0.2),
          'sk': (dict(attention='sk', avd=False), 0.2), 'sk, halves': (dict(attention='sk', halves=True), 0.2)}


def network(**settings):
    return randomize(ResNet(VariantSpec('tiny', **{'blocks': (1, 1, 1, 1), 'bottleneck_width': 8, 'stem_width': 8,
                                                   **settings}), classes=10))


def images(count, size=32, seed=1):
    """Coarse patterns, which tell more than noise."""
    patterns = np.random.default_rng(seed).normal(0, 2, size=(count, 3, 4, 4))
    return mx.nd.array(patterns.repeat(size // 4, axis=2).repeat(size // 4, axis=3))


@functools.lru_cache(maxsize=1)
def decided():
    """A network whose classes are what its features differ most in, and images that it is sure of; leave it alone."""
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


@functools.lru_cache(maxsize=1)
def spoiled():
    """The same, where one channel dwarfs its neighbours, which the next layer undoes: int8 loses the others."""
    (decided_net, x), net = decided(), network()
    for param, value in zip(net.collect_params().values(), decided_net.collect_params().values()):
        param.set_data(value.data())
    norm, reader = net.conv1[4], net.conv1[6]
    factor = np.ones(norm.gamma.shape[0], dtype='float32')
    factor[0] = 1e4
    for param, scale in ((norm.gamma, factor), (norm.beta, factor), (reader.weight, 1 / factor[None, :, None, None])):
        param.set_data(param.data() * mx.nd.array(scale))
    return net, x


def quantized(settings):
    """A network, and what int8 makes of it, calibrated with ``images(24)``, without and with the native operators."""
    return _quantized(tuple(settings.items()))


@functools.lru_cache
def _quantized(settings):
    net, x = network(**dict(settings)), images(24)
    kinds = (False, True) if shutil.which(os.environ.get('CXX') or 'g++') else (False,)
    return net, [optimize(net, x, 'int8', [x], native=kind, agreement=0) for kind in kinds]


@pytest.mark.parametrize('settings, allowed', VARIANTS.values(), ids=list(VARIANTS))
def test_logits_stay_close(settings, allowed):
    """To those of float32 as the rounding of each layer allows; a third more than what one machine showed."""
    x, other = images(24), images(3, 48, seed=2)        # and another batch and size than it was calibrated with
    net, networks = quantized(settings)
    wanted, other_wanted = net(x).asnumpy(), net(other).asnumpy()
    for made, fused in zip(networks, (False, settings.get('radix') != 0)):
        assert made.report['in_float32'] == []
        assert made.report['native_operators'] == fused
        assert made.symbol.tojson().count('"op": "split_attention_int8"') == (4 if fused else 0)
        assert distance(made(x).asnumpy(), wanted) < allowed
        assert distance(made(other).asnumpy(), other_wanted) < allowed / 2


@pytest.mark.parametrize('settings, allowed', OTHERS.values(), ids=list(OTHERS))
def test_other_attentions(settings, allowed, tmp_path):
    """Each array that is quantized has a range, without which :func:`load` would refuse the file."""
    net, x = network(**settings), images(24)
    made = optimize(net, x, 'int8', [x], agreement=0)
    assert distance(made(x).asnumpy(), net(x).asnumpy()) < allowed
    made.export(tmp_path / 'net')
    np.testing.assert_array_equal(load(tmp_path / 'net')(x).asnumpy(), made(x).asnumpy())


def attention_arrays(made, x):
    """For each split attention the int8 array that goes into it, what comes out of it and the pooling behind it as real
    numbers, and the step between two of these."""
    seen = {}
    run(made.symbol, made.args, {}, [x], lambda name, array: seen.update({name: array.asnumpy()}))
    nodes = walk(from_symbol(made.symbol))
    if made.native:
        pooled = {id(node.inputs[0][0]): node for node in nodes if node.op == '_contrib_quantized_pooling'}
        found = [(node.inputs[0][0], pooled.get(id(node), node), node.attrs['range'])
                 for node in nodes if node.op == 'split_attention_int8']
    else:
        found = [(node.inputs[0][0], last, last.attrs['max_calib_range']) for node, last in zip(
            [node for node in nodes if node.op == '_contrib_dequantize'],
            [node for node in nodes if node.op == '_contrib_quantize_v2'][1:])]
    arrays = []
    for first, last, limit in found:
        values = seen[output_name(last.name)]
        step = float(limit) / (255.5 if values.dtype == np.uint8 else 127.5)
        arrays.append((seen[output_name(first.name)], values * step, step))
    return arrays


@needs_compiler
@pytest.mark.parametrize('settings', [*(settings for settings, _ in VARIANTS.values()), dict(avd=False),
                                      dict(avd=False, radix=4, cardinality=2)], ids=str)
def test_native_equals_pure(settings):
    """From one int8 array both make the same but for their steps' rounding; with a pooling behind it, the native one
    rounds before and after it, and each is cut off at a range of its own."""
    x = images(24)
    _, (pure, fused) = quantized(settings)
    if settings.get('radix') == 0:
        np.testing.assert_array_equal(fused(x).asnumpy(), pure(x).asnumpy())
        return
    pairs = list(zip(attention_arrays(pure, x), attention_arrays(fused, x)))
    assert len(pairs) == 4
    radix = settings.get('radix')
    np.testing.assert_array_equal(pairs[0][0][0], pairs[0][1][0])
    early = settings.get('avd', True) and not settings.get('avd_first')     # pooled behind it, but for stage 1
    for stage, ((source, wanted, step), (other, found, own_step)) in enumerate(pairs):
        if np.array_equal(source, other):
            difference = np.abs(found - wanted)
            if early and stage:
                assert (difference < 1.001 * own_step + 0.501 * step).mean() > 0.99
            elif step == pytest.approx(own_step, rel=1e-6):
                assert difference.max() < 1.001 * step
                assert (difference > 0.5 * step).mean() < 1e-3
            else:       # the pure network has a sign for what rounding left below zero
                assert difference.max() < 0.501 * (step + own_step)
    assert distance(fused(x).asnumpy(), pure(x).asnumpy()) < (0.06 if early else 0.01 if radix != 4 else 0.05)


class Tanh(mx.gluon.HybridBlock):
    def hybrid_forward(self, F, x):
        return F.tanh(x) * 9


@needs_compiler
def test_attention_with_a_normalization_that_is_not_folded_is_not_fused():
    settings = dict(blocks=(1, 1, 1, 1), bottleneck_width=20, stem_width=8)     # 32 channels are the attention's own
    net = randomize(ResNet(VariantSpec('tiny', **settings), classes=10, norm_layer=lambda in_channels: (
        Tanh() if in_channels == 32 else mx.gluon.nn.BatchNorm(in_channels=in_channels))))
    made = optimize(net, images(4), 'int8', [images(24)], native=True, agreement=0)
    assert '"op": "tanh"' in made.symbol.tojson()
    assert distance(made(images(24)).asnumpy(), net(images(24)).asnumpy()) < 0.12


@pytest.mark.parametrize('native_operators', EITHER)
def test_the_layers_that_int8_harms_are_left_in_float32(native_operators):
    net, x = spoiled()
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
    assert distance(made(x).asnumpy(), net(x).asnumpy()) < 0.19


@pytest.mark.parametrize('native_operators', EITHER)
def test_no_stage_is_cut_off(native_operators):
    """Of a stage with a convolution in its shortcut, whose sum oneDNN writes as a signed number, and without one."""
    net = Features(randomize(network()), (1, 2, 3, 4))
    x = images(4)
    for found, wanted in zip(optimize(net, x, 'int8', [x], native=native_operators)(x), net(x)):
        found, wanted = found.asnumpy(), wanted.asnumpy()
        assert found.max() > 0.9 * wanted.max()
        assert relative_error(found, wanted) < 0.2


def test_naive_ranges_are_the_extremes(tiny):
    x = mx.sym.var('data')
    symbol = mx.sym.Activation(mx.sym.FullyConnected(x, num_hidden=3, name='fc'), act_type='relu', name='relu')
    rng = np.random.default_rng(0)
    args = {'fc_weight': mx.nd.array(rng.normal(size=(3, 5))), 'fc_bias': mx.nd.array(rng.normal(size=3))}
    batches = [mx.nd.array(rng.normal(size=(4, 5))), mx.nd.array(rng.normal(size=(2, 5)))]
    ranges, (outputs,) = find_ranges(symbol, args, {}, batches, {'data', 'fc_output', 'relu_output'}, 'naive')
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


def fresh(before, nets, data, **environment):
    """Run the networks, as code, on the images in the file ``data``, all in one other process; prints their classes."""
    code = '\n'.join(['import mxnet as mx', before, f'x = mx.nd.load({data!r})[0]', *(
        f'print(({net})(x).argmax(axis=1).asnumpy().astype(int).tolist())' for net in nets)])
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/', check=False,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), **environment})


def test_exported_files_in_a_fresh_process(tmp_path):
    """With this package, and without it: the pure ones by mxnet alone, the native ones after their library."""
    net, x = decided()
    data = str(tmp_path / 'x')
    mx.nd.save(data, [x])
    kinds = [False] + [True] * (shutil.which(os.environ.get('CXX') or 'g++') is not None)
    prefixes, wanted = [str(tmp_path / str(kind)) for kind in kinds], []
    for prefix, kind in zip(prefixes, kinds):
        made = optimize(net, x, 'int8', [x], native=kind, agreement=0)
        made.export(prefix)
        wanted.append(str(made(x).argmax(axis=1).asnumpy().astype(int).tolist()))
        assert load(prefix).native == kind
    loads = [f'load({prefix!r})' for prefix in prefixes]
    done = fresh('from resnest.gluon.inference import load', loads, data)
    assert done.stdout.splitlines() == wanted, done.stderr
    plain = [f'mx.gluon.SymbolBlock.imports({prefix + "-symbol.json"!r}, ["data"], {prefix + "-0000.params"!r})'
             for prefix in prefixes]
    library = f'mx.library.load({str(native.library("split_attention_int8"))!r}, False)'
    done = fresh('', [each if not kind else f'{library} or {each}' for kind, each in zip(kinds, plain)], data,
                 PYTHONPATH='')
    assert done.stdout.splitlines() == wanted, done.stderr


@needs_compiler
def test_native_files_without_the_operators(tmp_path, monkeypatch):
    optimize(network(), images(4), 'int8', [images(4)], native=True, agreement=0).export(tmp_path / 'x')
    monkeypatch.setenv('RESNEST_NATIVE', '0')
    with pytest.raises(InputError, match=r'x-symbol\.json: the network needs the native operators'):
        load(tmp_path / 'x')


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
