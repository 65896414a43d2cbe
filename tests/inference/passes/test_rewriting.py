"""Rewritten split attention: the logits stay, the work shrinks."""
import json

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.inference import fold
from resnest.gluon.inference.passes.rewriting import pool_early, slice_splits
from resnest.gluon.inference.passes.tracing import trace
from resnest.gluon.models import ResNet, VariantSpec

from ...conftest import randomize, relative_error


def network(**settings):
    spec = VariantSpec('tiny', **{'blocks': (1, 1, 1, 1), 'bottleneck_width': 8, 'stem_width': 8, **settings})
    return randomize(ResNet(spec, classes=10))


def run(symbol, args, aux, x):
    bound = symbol.bind(mx.cpu(), {**args, 'data': x}, aux_states=aux, grad_req='null')
    return bound.forward(is_train=False)[0].asnumpy()


def heights(symbol, operator, size):
    """Heights of the outputs of an operator, for images of ``size`` px."""
    inner = symbol.get_internals()
    shapes = dict(zip(inner.list_outputs(), inner.infer_shape(data=(1, 3, size, size))[1]))
    names = [node['name'] for node in json.loads(symbol.tojson())['nodes'] if node['op'] == operator]
    return [shapes[f'{name}_output'][2] for name in names]


@pytest.mark.parametrize('settings', [dict(radix=1), dict(), dict(radix=4), dict(cardinality=2)], ids=str)
def test_products_work_on_the_pooled_map(settings):
    net = network(**settings)
    symbol, args, aux = fold(*trace(net))
    early = pool_early(symbol)
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 65, 64)))
    assert relative_error(run(early, args, aux, x), net(x).asnumpy()) < 1e-5
    products = max(1, settings.get('radix', 2) - 1)
    assert heights(symbol, 'broadcast_mul', 64) == [height for height in (16, 16, 8, 4) for _ in range(products)]
    assert heights(early, 'broadcast_mul', 64) == [height for height in (16, 8, 4, 2) for _ in range(products)]


@pytest.mark.parametrize('settings', [dict(avd_first=True), dict(radix=0), dict(avd=False)], ids=str)
def test_nothing_to_move(settings):
    symbol = fold(*trace(network(**settings)))[0]
    assert json.loads(pool_early(symbol).tojson())['nodes'] == json.loads(symbol.tojson())['nodes']


@pytest.mark.parametrize('settings', [dict(), dict(radix=4, cardinality=2)], ids=str)
@pytest.mark.parametrize('early', [False, True], ids=['pooled late', 'pooled early'])
def test_splits_become_slices(settings, early):
    net = network(**settings)
    symbol, args, aux = fold(*trace(net))
    sliced = slice_splits(pool_early(symbol) if early else symbol)
    radix = settings.get('radix', 2)
    wanted = (16, 8, 4, 2) if early else (16, 16, 8, 4)
    assert [height for height in heights(sliced, 'slice', 64) if height > 1] == \
        [height for height in wanted for _ in range(radix)]
    for shape in ((1, 3, 32, 32), (3, 3, 40, 33)):
        x = mx.nd.array(np.random.default_rng(0).normal(size=shape))
        assert relative_error(run(sliced, args, aux, x), net(x).asnumpy()) < 1e-5
