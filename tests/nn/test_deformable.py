"""Deformable convolution, native and pure, against torchvision, a slow loop and each other; in a network."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import Bottleneck, DeformableConv2D, SplitAttentionConv, native, use_native

from ..conftest import needs_compiler, randomize, relative_error
from .formulas import deformable_convolution, torchvision_case
from .test_native_requests import blocked

PATHS = [False, pytest.param(True, marks=needs_compiler)]
NAMES = 'data', 'offset', 'mask'


def layer_of(case, use):
    strides, padding, dilation, groups, parts = map(int, case['args'])
    layer = DeformableConv2D(12, 8, 3, strides, padding, dilation, groups, parts)
    layer.initialize()
    layer.weight.set_data(mx.nd.array(case['weight']))
    assert use_native(layer, use) is use
    return layer


def inputs_of(case):
    return [mx.nd.array(case[name]) for name in NAMES if name in case]


@pytest.mark.parametrize('hybrid', [None, {}, dict(static_alloc=True, static_shape=True)], ids=str)
@pytest.mark.parametrize('use', PATHS)
@pytest.mark.parametrize('name', 'abcd')
def test_equals_torchvision(name, use, hybrid):
    """Value and all gradients; those that are added up too, and none where none is asked for."""
    case = torchvision_case(f'dcn_{name}')
    layer, inputs = layer_of(case, use), inputs_of(case)
    if hybrid is not None:
        layer.hybridize(**hybrid)
    for value in inputs[:2]:
        value.attach_grad('add')
    for step in (1, 2):
        with mx.autograd.record():
            found = layer(*inputs)
        found.backward(mx.nd.array(case['head_grad']))
        np.testing.assert_allclose(found.asnumpy(), case['out'], atol=1e-5)
        np.testing.assert_allclose(layer.weight.grad().asnumpy(), case['weight_grad'], atol=2e-5)
        for value, key in zip(inputs[:2], NAMES):
            np.testing.assert_allclose(value.grad.asnumpy(), step * case[f'{key}_grad'], atol=4e-5)
    if len(inputs) == 3:
        inputs[2].attach_grad()
        layer.weight.grad_req = 'null'
        with mx.autograd.record():
            found = layer(*inputs)
        found.backward(mx.nd.array(case['head_grad']))
        np.testing.assert_allclose(inputs[2].grad.asnumpy(), case['mask_grad'], atol=1e-5)


@pytest.mark.parametrize('use', PATHS)
def test_sides_of_their_own(use):
    rng = np.random.default_rng(0)
    layer = DeformableConv2D(4, 6, (1, 3), (2, 1), (0, 2), (1, 2), groups=2, deformable_groups=3, use_bias=True)
    layer.initialize(mx.init.Normal(1))
    layer.bias.set_data(mx.nd.arange(4))
    use_native(layer, use)
    x, offsets = rng.normal(size=(2, 6, 7, 5)), rng.normal(0, 2, (2, 18, 4, 5))
    wanted = deformable_convolution(x, np.float32(offsets), None, layer.weight.data().asnumpy(), (2, 1), (0, 2), (1, 2),
                                    2, 3) + np.arange(4)[:, None, None]
    assert relative_error(layer(mx.nd.array(x), mx.nd.array(offsets)).asnumpy(), wanted) < 1e-5


@needs_compiler
def test_both_paths_agree_on_whole_offsets():
    """Where samples fall on pixels the gradient has a kink: both paths take its right side, as torchvision does."""
    case = torchvision_case('dcn_a')
    case['offset'] = np.rint(case['offset'])
    gradients = []
    for use in (False, True):
        layer, inputs = layer_of(case, use), inputs_of(case)
        inputs[1].attach_grad()
        with mx.autograd.record():
            found = layer(*inputs)
        found.backward(mx.nd.array(case['head_grad']))
        gradients.append(np.where(np.abs(case['offset']) < 2, inputs[1].grad.asnumpy(), 0))
    assert np.abs(gradients[0]).max() > 1
    np.testing.assert_allclose(*gradients, atol=2e-5)


@needs_compiler
@pytest.mark.parametrize('layout', [mx.nd.array, blocked])
def test_views_and_threads(layout):
    """Any layout, parts of larger arrays, several threads at once, into a part of an array."""
    case = torchvision_case('dcn_a')
    layer_of(case, True)        # loads it
    inputs = [layout(np.concatenate([case[name], case[name]])) for name in NAMES] + [mx.nd.array(case['weight'])]
    settings = dict(stride='(1, 1)', pad='(1, 1)', dilate='(1, 1)', groups=2, deformable_groups=2, modulated=1)

    def run(first):
        whole = mx.nd.full((4, *case['out'].shape[1:]), 7)
        viewed = [value[first:first + 2] for value in inputs[:3]]
        mx.nd.deformable_convolution(*viewed, inputs[3], **settings, out=whole[1:3])
        return whole.asnumpy()

    with ThreadPoolExecutor(4) as pool:
        for first, found in enumerate(pool.map(run, [0, 1, 2] * 5)):
            wanted = np.roll(case['out'], first % 3 % 2, axis=0)
            np.testing.assert_allclose(found[1:3], wanted, atol=1e-5)
            assert (found[[0, 3]] == 7).all()


@needs_compiler
@pytest.mark.parametrize('change', [dict(groups=3), dict(deformable_groups=3), dict(stride='(0, 1)'), dict(pad='1'),
                                    dict(dilate='(9, 9)'), dict(groups=None), dict(dilate='(1, 9999999999999)'),
                                    dict(modulated=0)], ids=str)
def test_the_operator_refuses_what_does_not_fit(change):
    case = torchvision_case('dcn_a')
    layer_of(case, True)
    settings = dict(stride='(1, 1)', pad='(1, 1)', dilate='(1, 1)', groups=2, deformable_groups=2, modulated=1)
    settings = {key: value for key, value in {**settings, **change}.items() if value is not None}
    with pytest.raises(mx.MXNetError):
        mx.nd.deformable_convolution(*inputs_of(case), mx.nd.array(case['weight']), **settings).wait_to_read()


def test_refuses_groups_that_do_not_fit():
    for settings in (dict(groups=3), dict(deformable_groups=3)):
        with pytest.raises(ValueError, match='cannot be divided'):
            DeformableConv2D(12, 8, **settings)
    with pytest.raises(ValueError, match='deformable groups'):
        Bottleneck(16, 8, deformable_groups=3, project=True)


def test_on_a_gpu_it_is_mxnets_operator(monkeypatch):
    """As far as can be seen here: with the right shapes and settings, in place of the pure path."""
    layer = DeformableConv2D(12, 8, deformable_groups=2, groups=2)
    layer.initialize()
    monkeypatch.setattr(layer.weight, 'list_ctx', lambda: [mx.gpu()])
    for inputs in (2, 3):
        symbol = layer(*map(mx.sym.var, NAMES[:inputs]))
        shapes = dict(zip(NAMES, [(2, 8, 6, 7), (2, 36, 6, 7), (2, 18, 6, 7)][:inputs]))
        assert '"op": "_contrib_ModulatedDeformableConvolution"' in symbol.tojson()
        assert symbol.infer_shape(**shapes)[1] == [(2, 12, 6, 7)]


@pytest.mark.parametrize('radix', [0, 1, 2])
@pytest.mark.parametrize('use', PATHS)
def test_a_block_starts_as_a_plain_one_of_half_the_samples(use, radix):
    """The offsets are zero at first, and the modulation is the sigmoid of zero."""
    block = randomize(Bottleneck(16, 8, project=True, radix=radix, deformable_groups=2))
    plain = Bottleneck(16, 8, project=True, radix=radix)
    plain.initialize()
    own = block._collect_params_with_prefix()
    names = plain._collect_params_with_prefix()
    assert sorted(set(own) - set(names)) == ['conv2_offset.bias', 'conv2_offset.weight']
    assert own['conv2_offset.weight'].shape == (54, 8, 3, 3)
    for name, param in names.items():
        weight = name in ('conv2.weight', 'conv2.conv.weight')
        param.set_data(own[name].data() / (2 if weight else 1))
    for name in ('weight', 'bias'):
        own[f'conv2_offset.{name}'].set_data(mx.nd.zeros(own[f'conv2_offset.{name}'].shape))
    use_native(block, use)
    assert all(each.native == use for each in (block.conv2, getattr(block.conv2, 'conv', block.conv2)))
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 8, 9, 10)))
    assert relative_error(block(x).asnumpy(), plain(x).asnumpy()) < 1e-5


def test_casting_leaves_the_native_operator():
    block = SplitAttentionConv(8, 8, deformable_groups=2)
    block.conv.native = True
    block.cast('float64')
    block.initialize()
    assert not block.conv.native
    inputs = [mx.nd.ones((1, channels, 5, 5), dtype='float64') for channels in (8, 36, 18)]
    assert block(*inputs).dtype == np.float64


def test_library_is_loaded_with_the_network():
    assert native.libraries(SplitAttentionConv(8, 8)) == ['split_attention']
    assert native.libraries(SplitAttentionConv(8, 8, deformable_groups=1)) == ['deformable_convolution',
                                                                              'split_attention']
