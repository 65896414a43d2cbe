"""Folding: the logits stay, the normalizations go."""
import json

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.gluon.inference import fold
from resnest.gluon.inference.passes.tracing import trace

from ...conftest import randomize, relative_error


@pytest.fixture(autouse=True)
def _unfused(monkeypatch):
    monkeypatch.setenv('MXNET_SUBGRAPH_BACKEND', 'NONE')    # the older executor would fold by itself


def run(symbol, args, aux, x):
    """Logits by mxnet's older executor, which knows nothing of Gluon."""
    bound = symbol.bind(mx.cpu(), {**args, 'data': x}, aux_states=aux, grad_req='null')
    return bound.forward(is_train=False)[0].asnumpy()


def images(*shape):
    return mx.nd.array(np.random.default_rng(1).normal(size=shape))


def operators(symbol):
    return [node['op'] for node in json.loads(symbol.tojson())['nodes']]


@pytest.mark.parametrize('settings', [{}, {'dilation': 4}, {'norm_kwargs': {'epsilon': 0.1, 'scale': False}}],
                         ids=['plain', 'dilation', 'fixed gamma'])
def test_a_network_folds_whole(tiny, settings):
    net = randomize(tiny(**settings))
    traced = trace(net)
    folded = fold(*traced)
    x = images(2, 3, 48, 40)
    assert operators(traced[0]).count('BatchNorm') > 10
    assert operators(folded[0]).count('BatchNorm') == 0
    assert not folded[2]
    assert relative_error(run(*folded, x), net(x).asnumpy()) < 1e-5
    assert relative_error(run(*traced, x), net(x).asnumpy()) < 1e-5     # the parameters it was given are as they were


def test_formula_of_one_convolution_with_a_bias():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 4, 5, 5)), rng.normal(size=(6, 4, 1, 1))
    bias, gamma, beta, mean = rng.normal(size=(4, 6))
    variance = rng.uniform(0.5, 2, 6)
    net = mx.sym.BatchNorm(mx.sym.Convolution(mx.sym.var('data'), kernel=(1, 1), num_filter=6, name='c'),
                           eps=0.01, fix_gamma=False, name='n')
    args = {'c_weight': weight, 'c_bias': bias, 'n_gamma': gamma, 'n_beta': beta}
    aux = {'n_moving_mean': mean, 'n_moving_var': variance}
    nd = ({name: mx.nd.array(value) for name, value in values.items()} for values in (args, aux))
    symbol, args, aux = fold(net, *nd)
    wanted = np.einsum('oi,nihw->nohw', weight[:, :, 0, 0], x)
    column = (slice(None), None, None)
    wanted = (wanted + (bias - mean)[column]) * (gamma / np.sqrt(variance + 0.01))[column] + beta[column]
    assert relative_error(run(symbol, args, aux, mx.nd.array(x)), wanted) < 1e-5
    assert (set(args), aux) == ({'c_weight', 'n_beta'}, {})


@pytest.mark.parametrize('adj', [0, 1])
def test_deconvolutions_fold(adj):
    """Whose weights have the outputs on their second axis, with and without a bias; grouped ones stay."""
    net = nn.HybridSequential()
    net.add(nn.Conv2DTranspose(5, 4, 2, 1, adj, in_channels=3), nn.BatchNorm(in_channels=5), nn.Activation('relu'),
            nn.Conv2DTranspose(3, 3, 2, 1, use_bias=False, in_channels=5), nn.BatchNorm(in_channels=3),
            nn.Conv2DTranspose(6, 2, 2, groups=3, in_channels=3), nn.BatchNorm(in_channels=6))
    net.initialize()
    randomize(net)
    x = images(2, 3, 6, 5)
    folded = fold(*trace(net))
    assert operators(folded[0]).count('BatchNorm') == 1
    assert relative_error(run(*folded, x), net(x).asnumpy()) < 1e-5


def test_what_another_node_reads_stays():
    """A convolution that is read before its normalization too, and one without a convolution before it."""
    data = mx.sym.var('data')
    conv = mx.sym.Convolution(mx.sym.BatchNorm(data, name='first'), kernel=(1, 1), num_filter=3, name='c')
    both = conv + mx.sym.BatchNorm(conv, fix_gamma=False, name='second')
    shapes = both.infer_shape(data=(1, 3, 4, 4))
    rng = np.random.default_rng(0)
    args = {name: mx.nd.array(rng.uniform(0.5, 1.5, shape)) for name, shape in zip(both.list_arguments(), shapes[0])}
    aux = {name: mx.nd.array(rng.uniform(0.5, 1.5, shape))
           for name, shape in zip(both.list_auxiliary_states(), shapes[2])}
    del args['data']
    folded = fold(both, args, aux)
    assert operators(folded[0]).count('BatchNorm') == 2
    x = images(1, 3, 4, 4)
    np.testing.assert_array_equal(run(*folded, x), run(both, args, aux, x))


def test_all_that_drops_is_gone(tiny):
    plain = randomize(tiny())
    dropping = randomize(tiny(dropblock_prob=0.3, drop_path=0.3))
    folded = fold(*trace(dropping))
    assert not {'Dropout', 'BlockGrad'} & set(operators(folded[0]))
    x = images(2, 3, 32, 32)
    assert relative_error(run(*folded, x), plain(x).asnumpy()) < 1e-5
    data = mx.sym.var('data')
    assert operators(fold(mx.sym.Dropout(data) * 2, {}, {})[0]) == ['null', '_mul_scalar']
