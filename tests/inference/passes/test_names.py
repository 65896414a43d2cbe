"""Passes find layers by the graph: what parameters and nodes are called, and how they are ordered, changes nothing."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.graph import from_symbol, to_symbol, walk
from resnest.gluon.inference import fold
from resnest.gluon.inference.int8.quantization import quantize
from resnest.gluon.inference.int8.ranges import run
from resnest.gluon.inference.passes.bfloat16 import to_bfloat16
from resnest.gluon.inference.passes.tracing import trace
from resnest.gluon.models import ResNet, VariantSpec
from resnest.gluon.nn import native

from ...conftest import randomize


def folded(use_native=False, **settings):
    spec = VariantSpec('tiny', **{'blocks': (1, 1, 1, 1), 'bottleneck_width': 8, 'stem_width': 8, **settings})
    symbol, args, _ = fold(*trace(randomize(ResNet(spec, classes=10)), native=use_native))
    return symbol, args


def renamed(symbol, args):
    """The same network with names that tell nothing, or something wrong: weights end in ``bias`` and so on."""
    outputs, new = from_symbol(symbol), {}
    for number, node in enumerate(walk(outputs)):
        if node.is_parameter:
            new[node.name] = f"x{number:03}.{'bias' if node.name.endswith('weight') else 'weight'}"
            node.name = new[node.name]
        elif node.op != 'null':
            node.name = f'{900 - number}_output'
    return to_symbol(outputs), {new[name]: value for name, value in args.items()}


def shape(symbol):
    """Operators, attributes and wires, without names."""
    nodes = walk(from_symbol(symbol))
    places = {id(node): place for place, node in enumerate(nodes)}
    return [(node.op, {key: value for key, value in node.attrs.items() if not key.startswith('__')},
             [(places[id(child)], output) for child, output in node.inputs]) for node in nodes]


def images(count):
    patterns = np.random.default_rng(1).normal(0, 2, size=(count, 3, 4, 4))
    return mx.nd.array(patterns.repeat(8, axis=2).repeat(8, axis=3))


def test_bfloat16():
    network = folded()
    symbol, args, kept = to_bfloat16(*network)
    other, other_args, other_kept = to_bfloat16(*renamed(*network))
    assert shape(symbol) == shape(other)
    assert len(kept) == len(other_kept) == 9        # two layers in each of four attentions, and the classifier
    assert [args[name].shape for name in kept] == [other_args[name].shape for name in other_kept]


@pytest.mark.parametrize('settings', [{}, {'radix': 1, 'cardinality': 2}], ids=str)
@pytest.mark.parametrize('agreement', [0, 0.9])
def test_int8(settings, agreement):
    use_native = native.load() and native.load(name='split_attention_int8')
    network, x = folded(use_native, **settings), images(8)
    made, other = (quantize(symbol, args, {}, [x], native=use_native, agreement=agreement)
                   for symbol, args in (network, renamed(*network)))
    assert shape(made[0]) == shape(other[0])
    assert use_native == ('split_attention_int8' in made[0].tojson())
    assert len(made[3]['in_float32']) == len(other[3]['in_float32'])
    np.testing.assert_array_equal(run(*made[:3], [x]), run(*other[:3], [x]))
