"""Stochastic depth: whole samples, the promised share of them, in both modes, and the probabilities of a network."""
import json

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.inference.passes.tracing import trace
from resnest.gluon.nn import Bottleneck, DropPath, path_probabilities

from ..conftest import randomize


def run(block, x, training):
    with mx.autograd.record(train_mode=training):
        return block(mx.nd.array(x)).asnumpy()


@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('order', [(True, False), (False, True)])
def test_both_modes_in_both_orders(order, hybridize):
    """Each sample is kept or not, as a whole; what is kept grows so that the mean stays. Evaluation changes nothing."""
    mx.random.seed(0)
    x = np.random.default_rng(0).normal(size=(4000, 2, 3, 2)).astype('float32')
    block = DropPath(0.3)
    if hybridize:
        block.hybridize()
    found = {training: run(block, x, training) for training in order}
    np.testing.assert_array_equal(found[False], x)
    kept = (found[True] != 0).any(axis=(1, 2, 3))
    np.testing.assert_allclose(found[True], x * kept[:, None, None, None] / 0.7, rtol=1e-5)
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 4000)
    again = (run(block, x, True) != 0).any(axis=(1, 2, 3))
    assert abs(np.corrcoef(kept, again)[0, 1]) < 0.08       # other samples each time
    assert abs(np.corrcoef(kept[:-1], kept[1:])[0, 1]) < 0.08


def test_gradient_is_that_of_the_mask():
    x = mx.nd.ones((50, 2, 3, 3))
    x.attach_grad()
    block = DropPath(0.5)
    block.hybridize()
    with mx.autograd.record():
        y = block(x)
    y.backward()
    np.testing.assert_array_equal(x.grad.asnumpy(), y.asnumpy())
    assert {*np.unique(y.asnumpy())} == {0, 2}


def test_half_precision_mask():
    block = DropPath(0.2)
    block.cast('float16')
    with mx.autograd.record():
        found = block(mx.nd.ones((50, 1, 2, 2), dtype='float16')).asnumpy()
    assert found.dtype == np.float16
    np.testing.assert_allclose(found[found != 0], 1 / 0.8, rtol=1e-3)


def test_a_block_that_is_left_out_is_its_shortcut():
    mx.random.seed(0)
    block = Bottleneck(8, 32, drop_path=0.5)
    block.initialize(mx.init.Normal(0.5))
    x = np.random.default_rng(0).normal(size=(40, 32, 5, 5)).astype('float32')
    shortcut = [np.array_equal(each, own.clip(0, None)) for each, own in zip(run(block, x, True), x)]
    assert 8 < sum(shortcut) < 32
    assert not any(np.array_equal(each, own.clip(0, None)) for each, own in zip(run(block, x, False), x))


def test_probabilities_grow_linearly_over_the_blocks():
    """Huang et al., 2016, section 3: the l-th of L blocks survives with 1 - l / L (1 - p_L)."""
    net = get_model('resnest50', drop_path=0.2)
    found = [getattr(block.drop_path, 'prob', 0) for stage in (net.layer1, net.layer2, net.layer3, net.layer4)
             for block in stage]
    np.testing.assert_allclose(found, [1 - (1 - (block / 16) * (1 - 0.8)) for block in range(1, 17)])
    assert path_probabilities(0.0, 3) == [0, 0, 0]
    assert net.layer4[2].drop_path.prob == pytest.approx(0.2)


def test_parameters_and_the_graph_for_inference_are_those_without_it(tiny):
    plain, dropping = randomize(tiny()), randomize(tiny(drop_path=0.5))
    names = [list(net._collect_params_with_prefix()) for net in (plain, dropping)]
    assert names[0] == names[1]
    graphs = [[node['op'] for node in json.loads(trace(net)[0].tojson())['nodes']]
              for net in (plain, dropping)]
    assert graphs[0] == graphs[1]
    x = np.random.default_rng(0).normal(size=(2, 3, 32, 32))
    dropping.hybridize()
    run(dropping, x, True)      # traced while training
    randomize(dropping)         # the running statistics as before
    np.testing.assert_allclose(run(dropping, x, False), run(plain, x, False), rtol=1e-5)


@pytest.mark.parametrize('value', [1.0, -0.1, 'x', None, True])
def test_refuses_nonsense(value):
    with pytest.raises(InputError, match=r'^drop_path must be in \[0, 1\), got'):
        get_model('resnest14', drop_path=value)
