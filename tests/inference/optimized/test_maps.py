"""Optimized networks whose logits are maps, as those of segmentation are."""
import json

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.inference import load, optimize
from resnest.gluon.inference.optimized.exported import read, write

from ...conftest import needs_compiler, randomize


@pytest.fixture(scope='module')
def net():
    return randomize(get_model('deeplab_resnest50_ade', blocks=(1, 1, 1, 1), classes=5, stem_width=8, rates=(1, 2, 3),
                               bottleneck_width=8))


def images(*shape):
    return mx.nd.array(np.random.default_rng(4).normal(size=shape))


@pytest.mark.parametrize('precision, tolerance', [('float32', 1e-5), ('bfloat16', 0.05), ('int8', 0.2)])
def test_maps_of_logits(net, precision, tolerance, tmp_path):
    """At another size than the example's, from files as well; the report counts pixels, on which int8 has to agree."""
    batch = images(2, 3, 40, 48)
    made = optimize(net, batch[:1], precision, [batch], native=False)
    x = images(2, 3, 33, 57)
    wanted, found = net.predict(x).asnumpy(), made(x).asnumpy()
    assert found.shape == (2, 5, 33, 57)
    assert np.abs(found - wanted).mean() < tolerance * np.abs(wanted).mean()
    same = made(batch).asnumpy().argmax(axis=1) == net.predict(batch).asnumpy().argmax(axis=1)
    assert made.report['pixel_agreement'] == same.mean()
    assert (made.report['calibration_images'], 'top1_agreement' in made.report) == (2, False)
    if precision == 'int8':
        assert made.report['pixel_agreement'] >= 0.98
        assert made.report['int8_layers'] > 5
    made.export(tmp_path / 'net')
    assert np.array_equal(load(tmp_path / 'net')(x).asnumpy(), found)


@needs_compiler
@pytest.mark.parametrize('precision, tolerance, agreement', [('float32', 1e-5, 1), ('bfloat16', 0.05, 0.9),
                                                             ('int8', 0.2, 0.7)])
def test_native_operators(net, precision, tolerance, agreement):
    """The same logits as of the network, at another size than the example's too."""
    batch = images(2, 3, 40, 48)
    made = optimize(net, batch[:1], precision, [batch], agreement=0, native=True)
    assert made.native
    for x in (batch, images(1, 3, 33, 57)):
        wanted, found = net.predict(x).asnumpy(), made(x).asnumpy()
        assert np.abs(found - wanted).mean() < tolerance * np.abs(wanted).mean()
    assert made.report['pixel_agreement'] >= agreement


@pytest.mark.parametrize('op, name, value, wanted', [
    ('_contrib_arange_like', 'axis', '0', 'no attribute axis = 0'),
    ('_rminus_scalar', 'scalar', '1e9', 'no attribute scalar = 1e9'),
    ('dot', 'transpose_a', 'True', 'no attribute transpose_a = True'),
    ('broadcast_like', 'lhs_axes', '(0, 1)', r'no attribute lhs_axes = \(0, 1\)'),
    ('Reshape', 'shape', '(-1, 1)', 'it reads float32 in the place of positions')])
def test_other_resizing_is_refused(net, op, name, value, wanted, tmp_path):
    """What would make arrays of any size, or read what is no matrix of shares."""
    made = optimize(net, images(1, 3, 33, 33), native=False)
    made.export(tmp_path / 'net')
    _, args, aux, about = read(tmp_path / 'net')
    graph = json.loads(made.symbol.tojson(remove_amp_cast=False))
    next(node for node in graph['nodes'] if node['op'] == op)['attrs'][name] = value

    class Changed:
        @staticmethod
        def tojson(**_):
            return json.dumps(graph)

    with pytest.raises(InputError, match=wanted):
        write(tmp_path / 'other', Changed, args, aux, about)
