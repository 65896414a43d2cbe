"""Every precision against the float32 logits of the network as it is, in this process and in a fresh one."""
import json
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import with_normalization
from resnest.gluon.inference import load, optimize
from resnest.gluon.models import ResNet, VariantSpec

from ...conftest import TINY, need_cpu, needs_compiler, randomize, relative_error

VARIANTS = {
    'radix 0': dict(radix=0), 'radix 1': dict(radix=1), 'radix 2': dict(), 'radix 4': dict(radix=4),
    'cardinality 2': dict(cardinality=2), 'pooling first': dict(avd_first=True, radix=1, cardinality=2),
    'dropout': dict(final_drop=0.5),
    'ResNeXt': dict(attention='none', avd=False, stem='plain', shortcut='strided', cardinality=2),
    'SE': dict(attention='se'), 'scSE': dict(attention='scse'), 'SK': dict(attention='sk', halves=True)}


def images(*shape, seed=1):
    return mx.nd.array(np.random.default_rng(seed).normal(size=shape))


def variant(**settings):
    return VariantSpec('tiny', **{'blocks': (1, 2, 1, 1), 'bottleneck_width': 8, 'stem_width': 8, **settings})


def largest_difference(precision):
    """What rounding allows; bfloat16 has 8 bits."""
    need_cpu(precision)
    return {'float32': 1e-5, 'bfloat16': 0.02}[precision]


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
@pytest.mark.parametrize('settings', VARIANTS.values(), ids=list(VARIANTS))
def test_logits_at_any_batch_and_size(settings, precision):
    net = randomize(ResNet(variant(**settings), classes=10))
    allowed = largest_difference(precision)
    made = optimize(net, images(2, 3, 48, 48), precision)
    assert made.report['largest_difference'] < allowed
    for shape in ((1, 3, 48, 48), (5, 3, 33, 64), (2, 3, 17, 17), (2, 3, 48, 48)):
        x = images(*shape)
        assert relative_error(made(x).asnumpy(), net(x).asnumpy()) < allowed


@needs_compiler
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
@pytest.mark.parametrize('settings', [{}, {'radix': 4, 'avd_first': True}], ids=str)
def test_logits_with_the_native_operators(settings, precision, tmp_path):
    net = randomize(ResNet(variant(**settings), classes=10))
    x = images(2, 3, 48, 40)
    made = optimize(net, x, precision, native=True)
    assert 'split_attention_float' in made.symbol.tojson()
    assert made.report['largest_difference'] < largest_difference(precision)
    assert not net.layer1[0].conv2.native
    made.export(tmp_path / 'net')
    assert json.loads((tmp_path / 'net.json').read_text())['native_operators']
    np.testing.assert_array_equal(load(tmp_path / 'net')(x).asnumpy(), made(x).asnumpy())


def test_bfloat16_keeps_attention_and_classifier_in_float32():
    largest_difference('bfloat16')
    made = optimize(randomize(ResNet(variant(blocks=(1, 1, 1, 1)), classes=10)), images(1, 3, 32, 32), 'bfloat16')
    kept = [name for name, value in made.args.items() if value.dtype == np.float32 and name.endswith('weight')]
    assert sorted(kept) == sorted(['fc.weight', *(f'layer{stage}.0.conv2.{layer}.weight' for stage in range(1, 5)
                                                  for layer in ('fc1', 'fc2'))])
    assert sorted(made.report['in_float32']) == sorted(kept)
    assert 'layer1.0.conv2.fc1.weight' in made.describe()


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
@pytest.mark.parametrize('settings', [dict(dilation=2), dict(dilation=4, dropblock_prob=0.2, drop_path=0.2),
                                      dict(in_channels=5)], ids=str)
def test_options_of_the_network(settings, precision):
    allowed = largest_difference(precision)
    net = randomize(ResNet(TINY, classes=3, **settings))
    x = images(2, settings.get('in_channels', 3), 64, 64)
    assert relative_error(optimize(net, x, precision)(x).asnumpy(), net(x).asnumpy()) < allowed


def test_the_network_stays_as_it_is(tiny):
    net = randomize(tiny(dropblock_prob=0.2, drop_path=0.3))
    net.hybridize()
    x = images(2, 3, 32, 32)
    before = net(x).asnumpy()
    names, values = zip(*net._collect_params_with_prefix().items())
    values = [value.data().asnumpy() for value in values]
    made = optimize(net, x)
    np.testing.assert_array_equal(net(x).asnumpy(), before)
    assert tuple(net._collect_params_with_prefix()) == names
    for param, value in zip(net._collect_params_with_prefix().values(), values):
        np.testing.assert_array_equal(param.data().asnumpy(), value)
    with mx.autograd.record():      # it still trains, and drops
        loss = net(x).sum()
    loss.backward()
    assert np.abs(net.conv1[0].weight.grad().asnumpy()).max() > 0
    assert (net.layer4[0].dropblock1.prob, net.layer4[0].drop_path.prob) == (0.2, 0.3)
    randomize(net, seed=2)          # and what was made of it does not follow it
    assert relative_error(made(x).asnumpy(), before) < 1e-5


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_every_convolution_is_fused(tiny, precision):
    """oneDNN's subgraphs hold all normalizations, activations and the sums with the shortcuts, in bfloat16 too."""
    largest_difference(precision)
    made = optimize(randomize(tiny()), images(1, 3, 32, 32), precision)
    nodes = json.loads(made.symbol.tojson())['nodes']
    assert not {'BatchNorm', 'Activation', 'Convolution'} & {node['op'] for node in nodes}
    assert sum(node['op'] == '_sg_mkldnn_conv' and 'add_act' in node['name'] for node in nodes) == 4


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_exported_files_in_a_fresh_process_without_this_package(tiny, tmp_path, precision):
    allowed = largest_difference(precision)
    whole = with_normalization(randomize(tiny()))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    x = mx.nd.array(pixels, dtype='uint8')
    made = optimize(whole, x, precision, calibration=[(x, mx.nd.zeros(3))], native=False)
    assert (made.report['calibration_images'], made.report['top1_agreement']) == (3, 1)
    made.export(tmp_path / 'folder/net')
    np.save(tmp_path / 'pixels.npy', pixels)
    code = ('import sys, mxnet as mx, numpy as np; folder = sys.argv[1]; '
            'net = mx.gluon.SymbolBlock.imports(folder + "/folder/net-symbol.json", ["data"], '
            'folder + "/folder/net-0000.params"); '
            'x = mx.nd.array(np.load(folder + "/pixels.npy"), dtype="uint8"); '
            'np.save(folder + "/logits.npy", net(x).asnumpy()); assert "resnest.gluon" not in sys.modules')
    done = subprocess.run([sys.executable, '-I', '-W', 'ignore', '-c', code, str(tmp_path)],
                          check=True, capture_output=True, text=True)
    assert not done.stdout      # mxnet prints where it cannot tell the types
    wanted = whole(x).asnumpy()
    assert relative_error(np.load(tmp_path / 'logits.npy'), wanted) < allowed
    again = load(tmp_path / 'folder/net')
    assert (again.precision, again.shape, again.dtype, again.report) == (precision, x.shape, 'uint8', made.report)
    np.testing.assert_array_equal(again(x).asnumpy(), made(x).asnumpy())
    assert relative_error(again(x[:1]).asnumpy(), wanted[:1]) < allowed


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported')
    optimize(randomize(ResNet(TINY, classes=4)), images(1, 3, 32, 32)).export(folder / 'net')
    return folder


@pytest.mark.parametrize('name', ['net-symbol.json', 'net-0000.params', 'net.json'])
def test_missing_and_truncated_files_are_refused(exported, tmp_path, name):
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:len(data) // 2])
    with pytest.raises(InputError, match=name):
        load(tmp_path / 'net')
    (tmp_path / name).write_text('[]')
    with pytest.raises(InputError, match=name):
        load(tmp_path / 'net')
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=f'{name}: no such file'):
        load(tmp_path / 'net')


def test_files_may_be_renamed_but_not_mixed(exported, tmp_path):
    for path in exported.iterdir():
        (tmp_path / path.name.replace('net', 'an-other')).write_bytes(path.read_bytes())
    x = images(2, 3, 40, 32)
    np.testing.assert_array_equal(load(tmp_path / 'an-other')(x).asnumpy(), load(exported / 'net')(x).asnumpy())
    optimize(randomize(ResNet(TINY, classes=4), seed=3), images(1, 3, 32, 32)).export(tmp_path / 'x')
    (tmp_path / 'x-0000.params').replace(tmp_path / 'an-other-0000.params')
    with pytest.raises(InputError, match='an-other-0000.params: truncated or changed'):
        load(tmp_path / 'an-other')
    about = json.loads((tmp_path / 'x.json').read_text())
    (tmp_path / 'an-other.json').write_text(json.dumps({**about, 'sha256': 'a'}))
    with pytest.raises(InputError, match='an-other.json: not written by export, or damaged'):
        load(tmp_path / 'an-other')


@pytest.mark.parametrize('change, words', [
    (dict(precision='float8'), 'precision must be one of float32, bfloat16, int8, got float8'),
    (dict(example=images(1, 4, 32, 32)), r'takes images \(N, 3, H, W\), got \(1, 4, 32, 32\)'),
    (dict(example=np.zeros((1, 3, 32, 32))), 'must be an NDArray'),
    (dict(calibration=[]), 'empty'), (dict(calibration=[np.zeros((0, 3, 32, 32))]), 'empty'),
    (dict(calibration=[7]), 'calibration batch 0'),
    (dict(calibration=[images(2, 3, 40, 40)]), r'images of \(3, 40, 40\), the example of \(3, 32, 32\)'),
], ids=str)
def test_bad_requests_are_refused(tiny, change, words):
    with pytest.raises(InputError, match=words):
        optimize(randomize(tiny()), **{'example': images(1, 3, 32, 32), **change})


@pytest.mark.parametrize('precision', ['float32', 'int8'])
def test_weights_that_are_not_finite_are_refused(tiny, precision):
    net, x = randomize(tiny()), images(1, 3, 32, 32)
    net.fc.bias.set_data(net.fc.bias.data() * np.nan)
    with pytest.raises(InputError, match='not finite in float32'):
        optimize(net, x, precision, [x])


@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'int8'])
def test_an_unknown_calibration_mode_is_refused(tiny, precision):
    x = images(1, 3, 32, 32)
    with pytest.raises(InputError, match='naive, entropy'):
        optimize(randomize(tiny()), x, precision, [x], calibration_mode='best')


def test_a_network_without_values_is_refused(tiny):
    with pytest.raises(InputError, match='initialize'):
        optimize(tiny(), images(1, 3, 32, 32))


def test_other_inputs_are_refused(tiny):
    made = optimize(randomize(tiny()), images(1, 3, 32, 32))
    for x, words in ((images(1, 4, 32, 32), r'\(N, 3, H, W\)'), (images(3, 32, 32), r'\(N, 3, H, W\)'),
                     (images(1, 3, 32, 32).astype('uint8'), 'float32, got uint8'), (np.zeros(3), 'NDArray'),
                     (images(1, 3, 40, 1), r'\(1, 3, 40, 1\) is too small; .* from 17 px on')):
        with pytest.raises(InputError, match=words):
            made(x)
    assert made(images(2, 3, 17, 40)).shape == (2, 10)      # and it still works


def test_a_precision_that_the_cpu_lacks_is_refused(tiny, monkeypatch, exported):
    monkeypatch.setattr('resnest.gluon.inference.optimized.precision.cpu_flags',
                        lambda: {'avx2', 'avx512bw', 'avx512vl'})
    with pytest.raises(InputError, match='bfloat16: it lacks avx512dq'):
        optimize(randomize(tiny()), images(1, 3, 32, 32), 'bfloat16')
    about = json.loads((exported / 'net.json').read_text())
    (exported / 'net.json').write_text(json.dumps({**about, 'precision': 'bfloat16'}))
    with pytest.raises(InputError, match='bfloat16: it lacks avx512dq'):
        load(exported / 'net')
