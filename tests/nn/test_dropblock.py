"""DropBlock: the identity in evaluation, the promised share in training, whichever mode came first."""
import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.gluon.nn import DropBlock, set_drop_probability

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
