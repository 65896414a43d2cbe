"""The exported file: what onnx says of it, and its logits in onnxruntime against the network's."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.inference.export.onnx_files import OnnxNet, export_onnx
from resnest.gluon.models import ResNet, VariantSpec

from ...conftest import TINY, randomize, relative_error

onnx = pytest.importorskip('onnx')
runtime = pytest.importorskip('onnxruntime')

VARIANTS = {'radix 2': {}, 'radix 1, pooling first': dict(radix=1, avd_first=True, cardinality=2),
            'radix 4, groups': dict(radix=4, cardinality=2), 'ResNet-D': dict(radix=0), 'dropout': dict(final_drop=0.5)}


def images(*shape):
    return mx.nd.array(np.random.default_rng(2).normal(size=shape))


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'tiny.onnx'
    net = randomize(ResNet(TINY, classes=10, dropblock_prob=0.1))
    export_onnx(net, path, 64)
    return net, path


@pytest.mark.parametrize('settings', VARIANTS.values(), ids=list(VARIANTS))
def test_logits_of_any_batch_height_and_width(settings, tmp_path):
    spec = VariantSpec('tiny', **{'blocks': (1, 2, 1, 1), 'bottleneck_width': 8, 'stem_width': 8, **settings})
    net = randomize(ResNet(spec, classes=7))
    assert export_onnx(net, tmp_path / 'x.onnx', 64) < 1e-5
    found = runtime.InferenceSession(str(tmp_path / 'x.onnx'), providers=['CPUExecutionProvider'])
    for shape in ((1, 3, 64, 64), (3, 3, 64, 64), (2, 3, 97, 45), (5, 3, 17, 17)):
        x = images(*shape)
        logits, = found.run(None, {'data': x.asnumpy()})
        assert relative_error(logits, net(x).asnumpy()) < 1e-4


def test_the_file_is_opset_13_without_weights_as_inputs(exported):
    model = onnx.load(exported[1])
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [('', 13)]
    assert model.ir_version <= 7
    data, = model.graph.input
    assert [dim.dim_param or dim.dim_value for dim in data.type.tensor_type.shape.dim] == ['N', 3, 'H', 'W']
    logits, = model.graph.output
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ['N', 10]
    assert (data.name, logits.name) == ('data', 'logits')
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {'BatchNormalization', 'Dropout', 'Cast', 'Shape'}
    names = {weight.name for weight in model.graph.initializer}
    assert 'layer1.0.conv2.fc1.weight' in names
    assert names <= {name for node in model.graph.node for name in node.input}
    assert OnnxNet(exported[1]).metadata['mean'] == '(0.485, 0.456, 0.406)'


def test_nothing_is_left_where_the_logits_differ(exported, tmp_path):
    with pytest.raises(InputError, match=r'x\.onnx: not written: .* differ by .* \(batch 1, 64 x 64 px\)'):
        export_onnx(exported[0], tmp_path / 'x.onnx', 64, tolerance=1e-12)
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_and_other_images_are_refused(exported, tmp_path):
    whole = exported[1].read_bytes()
    for name, data in (('cut', whole[:-1000]), ('text', b'<html>'), ('empty', b'')):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f'{name}: onnxruntime cannot load it'):
            OnnxNet(tmp_path / name)
    with pytest.raises(InputError, match='no: .*No such file'):
        OnnxNet(tmp_path / 'no')
    with pytest.raises(InputError, match=r'cannot run it on \(1, 4, 32, 32\)'):
        OnnxNet(exported[1])(images(1, 4, 32, 32))
