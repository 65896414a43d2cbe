"""Grouped convolutions in int8: what they compute, and that rescaling changes nothing in float32."""
import mxnet as mx
import numpy as np

from resnest.gluon.inference.int8.equalization import equalize
from resnest.gluon.inference.int8.quantization import quantize
from resnest.gluon.inference.int8.ranges import run

from ...conftest import relative_error


def grouped(groups, channels=8):
    """A grouped convolution whose channels differ a hundredfold, with its ReLU, and a convolution after it."""
    rng = np.random.default_rng(groups)
    x = mx.sym.Convolution(mx.sym.var('data'), kernel=(3, 3), pad=(1, 1), num_filter=2 * channels, num_group=groups,
                           name='first')
    x = mx.sym.Convolution(mx.sym.relu(x) if groups == 2 else x, kernel=(1, 1), num_filter=5, name='second')
    sizes = np.geomspace(0.01, 1, 2 * channels)
    args = {'first_weight': rng.normal(size=(2 * channels, channels // groups, 3, 3)) * sizes[:, None, None, None],
            'first_bias': rng.normal(size=2 * channels) * sizes,
            'second_weight': rng.normal(size=(5, 2 * channels, 1, 1)) / sizes[:, None, None],
            'second_bias': rng.normal(size=5)}
    data = mx.nd.array(rng.normal(size=(2, channels, 6, 6)))
    return x, {name: mx.nd.array(value) for name, value in args.items()}, data


def test_the_outputs_stay():
    for groups in (1, 2, 4):
        symbol, args, x = grouped(groups)
        wanted, = run(symbol, args, {}, [x])
        before = {name: value.asnumpy() for name, value in args.items()}
        symbol, scaled = equalize(symbol, args)
        assert relative_error(run(symbol, scaled, {}, [x])[0], wanted) < 1e-5
        assert ('broadcast_mul' in symbol.tojson()) == (groups > 1)
        for name, value in before.items():
            np.testing.assert_array_equal(args[name].asnumpy(), value)
        if groups > 1:
            largest = np.abs(scaled['first_weight'].asnumpy()).max(axis=(1, 2, 3))
            np.testing.assert_allclose(largest, 1, rtol=1e-6)


def test_a_channel_of_hardly_any_weights_costs_the_others_nothing():
    for groups, size in ((2, 1e-3), (4, 1e-5)):
        symbol, args, x = grouped(groups)
        weight, bias = args['first_weight'].asnumpy(), args['first_bias'].asnumpy()
        weight[6], bias[6] = size * weight[6] / np.abs(weight[6]).max(), 1
        args.update(first_weight=mx.nd.array(weight), first_bias=mx.nd.array(bias))
        first = symbol.get_internals()['first_output']
        wanted, = run(first, args, {}, [x])
        assert relative_error(run(*equalize(first, args), {}, [x])[0], wanted) < 1e-5
        made, values, aux, _ = quantize(first, args, {}, [x], agreement=0)
        error = np.abs(run(made, values, aux, [x])[0] - wanted).max(axis=(0, 2, 3)) / np.abs(wanted).max(axis=(0, 2, 3))
        assert error.max() < 0.06


def test_int8_is_right_in_every_channel():
    for groups in (2, 4):
        symbol, args, x = grouped(groups)
        first = symbol.get_internals()['first_output']
        wanted, = run(first, args, {}, [x])
        made, values, aux, _ = quantize(first, args, {}, [x], agreement=0)
        error = np.abs(run(made, values, aux, [x])[0] - wanted).max(axis=(0, 2, 3)) / np.abs(wanted).max(axis=(0, 2, 3))
        assert error.max() < 0.05
