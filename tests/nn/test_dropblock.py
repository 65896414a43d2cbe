"""DropBlock: the identity in evaluation, the promised share in training, whichever mode came first."""
import json

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.gluon import get_model
from resnest.gluon.nn import DropBlock, Dropout, DropPath, set_drop_probability

SHAPE = (64, 3, 20, 23)


def run(block, training, shape=SHAPE):
    with mx.autograd.record(train_mode=training):
        return block(mx.nd.ones(shape)).asnumpy()


@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('order', [(True, False), (False, True)])
@pytest.mark.parametrize('size', [1, 3, 7])
def test_both_modes_in_both_orders(order, hybridize, size):
    mx.random.seed(0)
    block = DropBlock(0.2, size)
    if hybridize:
        block.hybridize()
    found = {training: run(block, training) for training in order}
    assert (found[False] == 1).all()
    kept = found[True] != 0
    # 64 masks of 20 × 23: the standard error of the share is about 0.2 / sqrt(64 * 460 / size**2) < 0.02
    assert abs(kept.mean() - 0.8) < 0.05
    np.testing.assert_allclose(found[True][kept], 1 / 0.8, rtol=1e-4)
    assert abs(found[True].mean() - 1) < 0.06


def test_every_position_is_kept_equally():
    mx.random.seed(1)
    kept = (run(DropBlock(0.3, 3), True, (20000, 1, 4, 5)) != 0).mean(axis=(0, 1))
    assert np.abs(kept - 0.7).max() < 0.02       # six standard errors


def test_drops_squares_shared_by_the_channels():
    mx.random.seed(2)
    dropped = run(DropBlock(0.05, 5), True) == 0
    assert (dropped == dropped[:, :1]).all()
    mask = dropped[:, 0]
    # Every dropped position away from the border lies in a 5 × 5 square of dropped ones.
    windows = np.lib.stride_tricks.sliding_window_view(mask, (5, 5), axis=(1, 2)).all(axis=(3, 4))
    covered = np.zeros_like(mask)
    for row, column in np.ndindex(5, 5):
        covered[:, row:row + windows.shape[1], column:column + windows.shape[2]] |= windows
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert mask[inner].any()
    assert (covered[inner] == mask[inner]).all()


def test_gradient_is_that_of_the_mask():
    x = mx.nd.ones(SHAPE)
    x.attach_grad()
    block = DropBlock(0.3)
    block.hybridize()
    with mx.autograd.record():
        y = block(x)
    y.backward()
    np.testing.assert_array_equal(x.grad.asnumpy(), y.asnumpy())


def test_any_size_after_one_trace():
    block = DropBlock(0.5)
    block.hybridize()
    for shape in [(2, 3, 1, 1), (1, 3, 7, 5), (5, 3, 40, 2)]:
        assert run(block, True, shape).shape == shape


def test_probability_can_change_under_hybridize():
    net = nn.HybridSequential()
    net.add(DropBlock(0.0), nn.HybridSequential())
    net[1].add(DropBlock(0.0))
    net.hybridize()
    assert (run(net, True) == 1).all()
    assert set_drop_probability(net, 0.5) == 2
    assert abs((run(net, True) != 0).mean() - 0.25) < 0.08
    assert set_drop_probability(net, 0.0) == 2
    assert (run(net, True) == 1).all()


def test_half_precision_mask():
    block = DropBlock(0.2)
    block.cast('float16')
    with mx.autograd.record():
        found = block(mx.nd.ones(SHAPE, dtype='float16')).asnumpy()
    assert found.dtype == np.float16
    np.testing.assert_allclose(found[found != 0], 1 / 0.8, rtol=1e-3)


@pytest.mark.parametrize('settings', [dict(prob=1.0), dict(prob=-0.1), dict(prob=0.1, block_size=4)])
def test_refuses_nonsense(settings):
    with pytest.raises(ValueError, match='DropBlock'):
        DropBlock(**settings)


def traced(block, device):
    """The symbol of a block as it is traced where its data are on a device, and its nodes."""
    with device:
        symbol = block(mx.sym.var('x'))
    symbol = mx.sym.Group(list(symbol)) if isinstance(symbol, (tuple, list)) else symbol
    return symbol, json.loads(symbol.tojson())['nodes']


@pytest.mark.parametrize('name, settings', [
    ('resnest50', {'dropblock_prob': 0.1, 'drop_path': 0.2, 'final_drop': 0.3}),
    ('deeplab_resnest50_ade', {'base': 'resnest14', 'dropblock_prob': 0.1})])
def test_no_operator_has_a_random_state_that_ignores_the_seed(name, settings):
    """cuDNN's dropout has one: https://github.com/apache/mxnet/issues/15662."""
    net = get_model(name, **settings)
    for device in (mx.cpu(), mx.gpu()):
        dropping = [node for node in traced(net, device)[1] if node['op'] in ('Dropout', 'RNN')]
        assert len(dropping) > 2
        assert all(node['attrs'].get('cudnn_off') == 'True' for node in dropping)


@pytest.mark.parametrize('make', [DropBlock, DropPath])
def test_on_a_gpu_the_mask_is_small_and_the_same(make):
    """The graph for GPUs, run on the CPU: no mask of full size in it, and bit for bit the same values and gradients."""
    block = make(0.3)
    symbol, nodes = traced(block, mx.gpu())
    assert [node['op'] for node in nodes if node['op'].startswith('broadcast')] == ['broadcast_mul']
    assert nodes[-1]['op'] == 'broadcast_mul'
    found = []
    for each in (block, mx.gluon.SymbolBlock(symbol, mx.sym.var('x'))):
        x = mx.nd.random.normal(shape=SHAPE) if not found else found[0][0]
        x.attach_grad()
        mx.random.seed(3)
        with mx.autograd.record():
            y = each(x)
        y.backward()
        found.append((x, y.asnumpy(), x.grad.asnumpy()))
    for one, other in zip(*(each[1:] for each in found)):
        np.testing.assert_array_equal(one, other)


def test_dropout():
    block = Dropout(0.25)
    block.hybridize()
    found = run(block, True)
    assert (run(block, False) == 1).all()
    assert {0, np.float32(1 / 0.75)} == {*np.unique(found)}
    assert abs((found == 0).mean() - 0.25) < 0.01
