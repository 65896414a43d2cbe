"""Networks whose output is a tuple, optimized, in files, copied; and what an optimized network says of itself."""
import copy
import json
import pickle

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import with_normalization
from resnest.gluon.inference import load, optimize
from resnest.gluon.inference.export.onnx_files import export_onnx
from resnest.gluon.inference.export.symbol_files import export_symbol
from resnest.gluon.models import Features

from ...conftest import randomize, relative_error

CLOSE = {'float32': 1e-5, 'bfloat16': 0.02, 'int8': 0.1}


class MapAndLogits(mx.gluon.HybridBlock):
    """What a head of another task may return."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def hybrid_forward(self, F, x):
        found = self.net.forward_features(x)
        return found, self.net.fc(self.net.flat(self.net.avgpool(found)))


class MapAndPooled(mx.gluon.HybridBlock):
    """An output that another operator reads as well, as the coarsest level of a pyramid."""

    def __init__(self, net):
        super().__init__()
        self.lateral = mx.gluon.nn.Conv2D(8, 3, padding=1, in_channels=3)
        self.lateral.initialize(mx.init.Xavier())

    def hybrid_forward(self, F, x):
        found = self.lateral(x)
        return found, F.Pooling(found, kernel=(1, 1), stride=(2, 2), pool_type='max')


def images(*shape):
    return mx.nd.array(np.random.default_rng(0).normal(size=shape))


def three_stages(net):
    return Features(net, (0, 2, 4))


def one_stage(net):
    return Features(net, (3,))


@pytest.mark.parametrize('make, precision, logits', [
    (three_stages, 'bfloat16', False), (three_stages, 'int8', False), (one_stage, 'int8', False),
    (MapAndLogits, 'float32', True), (MapAndLogits, 'int8', True), (MapAndPooled, 'int8', False)])
def test_each_output_is_the_networks(tiny, tmp_path, make, logits, precision):
    net, x = make(randomize(tiny())), images(3, 3, 64, 64)
    fast = optimize(net, x, precision, [x], agreement=0)
    for shape in ((3, 3, 64, 64), (1, 3, 50, 97)):
        found, wanted = fast(images(*shape)), net(images(*shape))
        assert isinstance(found, tuple)
        assert [each.shape for each in found] == [each.shape for each in wanted]
        if shape == x.shape:
            errors = [relative_error(one.asnumpy(), other.asnumpy()) for one, other in zip(found, wanted)]
            assert max(errors) < CLOSE[precision]
            np.testing.assert_allclose(fast.report['largest_difference'], errors, rtol=1e-3)
    assert ('top1_agreement' in fast.report) == logits
    assert 'largest difference: ' in fast.describe()
    fast.export(tmp_path / 'x')
    for again in (load(tmp_path / 'x'), pickle.loads(pickle.dumps(fast)), copy.deepcopy(fast)):
        assert (again.several, again.report) == (True, json.loads(json.dumps(fast.report)))
        for one, other in zip(again(x), fast(x)):
            np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_pixels_to_features(tiny):
    net = with_normalization(Features(randomize(tiny()), (1, 4)))
    x = mx.nd.array(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)), dtype='uint8')
    fast = optimize(net, x, native=False)
    for one, other in zip(fast(x), net(x)):
        assert relative_error(one.asnumpy(), other.asnumpy()) < 1e-5
    assert repr(fast) == 'OptimizedNet(float32, takes uint8 (N, H, W, 3))'


def test_files_that_do_not_say_that_they_have_several_outputs(tiny, tmp_path):
    export_symbol(Features(randomize(tiny()), (1, 2)), tmp_path / 'x', 32)
    about = json.loads((tmp_path / 'x.json').read_text())
    for value, wanted in ((False, 'it has 2 outputs in the place of one'), (3, 'not written by export, or damaged')):
        (tmp_path / 'x.json').write_text(json.dumps({**about, 'several_outputs': value}))
        with pytest.raises(InputError, match=wanted):
            load(tmp_path / 'x')


def test_outputs_within_outputs_are_refused(tiny):
    nested = mx.gluon.nn.HybridLambda(lambda F, x: (x, (x, x)))
    with pytest.raises(InputError, match='must be an array or a tuple of arrays'):
        optimize(nested, images(1, 3, 32, 32))


def test_onnx_holds_classifiers(tiny, tmp_path):
    pytest.importorskip('onnx')
    for net in (Features(randomize(tiny()), (1, 2)), randomize(tiny(classes=0))):
        with pytest.raises(InputError, match='x.onnx: .*no classifier; .*optimize'):
            export_onnx(net, tmp_path / 'x.onnx', 32)


def test_arrays_of_numpy_are_told_the_way(tiny):
    fast = optimize(randomize(tiny()), images(1, 3, 32, 32))
    with pytest.raises(InputError, match=r"of float32, got a NumPy array: mx.nd.array\(x, dtype='float32'\) makes one"):
        fast(np.zeros((1, 3, 32, 32), 'float32'))
    with pytest.raises(InputError, match='of float32, got float64'):
        fast(mx.nd.zeros((1, 3, 32, 32), dtype='float64'))
