"""Networks with deformable convolutions in some of their stages."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.inference import optimize
from resnest.gluon.models import get_model
from resnest.gluon.models.cost import complexity
from resnest.gluon.models.weights.parameters import load_parameters
from resnest.gluon.nn import use_native

from ..conftest import needs_compiler, randomize, relative_error


def test_names_and_shapes_are_those_of_detectron2():
    """Every block of the stages has its offsets; all else bears the names of the plain network."""
    net, plain = (get_model('resnest50', features_only=True, **more)._collect_params_with_prefix()
                  for more in ({'deformable_stages': (2, 3, 4)}, {}))
    wanted = {}
    for stage, blocks, width in ((2, 4, 64), (3, 6, 128), (4, 3, 256)):
        for block in range(blocks):
            name = f'layer{stage}.{block}.conv2_offset'
            wanted.update({f'{name}.weight': (54, width, 3, 3), f'{name}.bias': (54,)})
    assert {name: net[name].shape for name in net.keys() - plain.keys()} == wanted
    assert {name: net[name].shape for name in plain} == {name: param.shape for name, param in plain.items()}


@needs_compiler
@pytest.mark.parametrize('settings', [{}, dict(dilation=4, radix=0), dict(avd_first=True, radix=4, cardinality=2)],
                         ids=str)
def test_native_equals_pure(settings):
    net = randomize(get_model('resnest14', classes=5, deformable_stages=[2, 4], stem_width=8, bottleneck_width=16,
                              **settings))
    net.hybridize()
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 64, 48)))
    pure = net(x).asnumpy()
    assert use_native(net)
    assert relative_error(net(x).asnumpy(), pure) < 1e-4
    assert 'deformable_stages=(2, 4)' in repr(net)


def test_weights_of_the_plain_network_load(tiny, tmp_path):
    plain, net = randomize(tiny()), tiny(deformable_stages=(1, 4))
    plain.save_parameters(str(tmp_path / 'plain.params'))
    load_parameters(net, tmp_path / 'plain.params')
    values = net._collect_params_with_prefix()
    for name, param in plain._collect_params_with_prefix().items():
        np.testing.assert_array_equal(values[name].data().asnumpy(), param.data().asnumpy())
    assert not values['layer4.0.conv2_offset.weight'].data().asnumpy().any()
    net.save_parameters(str(tmp_path / 'own.params'))
    with pytest.raises(InputError, match='conv2_offset'):
        load_parameters(tiny(deformable_stages=(4,)), tmp_path / 'own.params')


@pytest.mark.parametrize('stages', [(0,), (5,), (3, 2), (2, 2), 2, '23', (2.0,), (True,), None, {2, 3}], ids=str)
def test_other_stages_are_refused(tiny, stages):
    with pytest.raises(InputError, match='deformable_stages must be ascending'):
        tiny(deformable_stages=stages)


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match='deformable groups'):
        get_model('resnest14', radix=1, bottleneck_width=1, deformable_stages=(1,))


def test_cost(tiny):
    """What comes on top are the convolutions of the offsets: 54 x 4 x 3 x 3 weights and 54 biases, at 4 x 4 places."""
    (parameters, macs), (plain, plain_macs) = (complexity(net, 64) for net in (tiny(deformable_stages=(4,)), tiny()))
    assert parameters - plain == 54 * 32 * 9 + 54
    assert macs - plain_macs == 54 * 32 * 9 * 4 * 4


@needs_compiler
@pytest.mark.parametrize('precision, tolerance', [('float32', 1e-5), ('int8', 0.1)])
def test_optimized(tiny, precision, tolerance):
    net = randomize(tiny(deformable_stages=(3,)))
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 64, 64)))
    found = optimize(net, x, precision, calibration=[x], agreement=0)
    assert found.report['native_operators']
    assert relative_error(found(x).asnumpy(), net(x).asnumpy()) < tolerance


def test_without_native_operators_nothing_is_optimized(tiny, monkeypatch):
    monkeypatch.setenv('RESNEST_NATIVE', '0')
    net, x = randomize(tiny(deformable_stages=(3,))), mx.nd.ones((1, 3, 64, 64))
    assert use_native(net) is False
    assert np.isfinite(net(x).asnumpy()).all()
    with pytest.raises(InputError, match='deformable convolutions need the native operators'):
        optimize(net, x)
