"""The exported file: what onnx says of it, and its logits in onnxruntime against the network's."""
import dataclasses

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.inference.export import onnx_files
from resnest.gluon.inference.export.onnx_files import OnnxNet, export_onnx
from resnest.gluon.models import ResNet, VariantSpec
from resnest.gluon.tasks.classification.settling import settle

from ...conftest import TINY, randomize, relative_error

onnx = pytest.importorskip('onnx')
runtime = pytest.importorskip('onnxruntime')

VARIANTS = {'radix 2': {}, 'radix 1, pooling first': dict(radix=1, avd_first=True, cardinality=2),
            'radix 4, groups': dict(radix=4, cardinality=2), 'ResNet-D': dict(radix=0), 'dropout': dict(final_drop=0.5),
            'ResNeXt': dict(attention='none', avd=False, stem='plain', shortcut='strided', cardinality=2),
            'SE': dict(attention='se'), 'scSE': dict(attention='scse'), 'SK': dict(attention='sk', halves=True)}


def images(*shape):
    return mx.nd.array(np.random.default_rng(2).normal(size=shape))


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'tiny.onnx'
    net = randomize(ResNet(TINY, classes=10, dropblock_prob=0.1, drop_path=0.1))
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


def test_maps_of_any_batch_height_and_width(tmp_path):
    net = randomize(get_model('deeplab_resnest50_ade', blocks=(1, 1, 1, 1), stem_width=8, bottleneck_width=8, classes=5,
                              rates=(1, 2, 3)))
    assert export_onnx(net, tmp_path / 'x.onnx', 48) < 1e-5
    model = onnx.load(tmp_path / 'x.onnx')
    logits, = model.graph.output
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ['N', 5, 'H', 'W']
    found = OnnxNet(tmp_path / 'x.onnx')
    assert (found.maps, found.classes) == (True, 5)
    for shape in ((1, 3, 48, 48), (3, 3, 33, 71), (2, 3, 97, 45)):
        x = images(*shape)
        assert relative_error(found(x).asnumpy(), net.predict(x).asnumpy()) < 1e-4
    with pytest.raises(InputError, match='x.onnx give a class for each pixel, not for each image'):
        settle(exported=found)


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


def test_the_file_says_how_its_images_are_normalized(tmp_path):
    spec = dataclasses.replace(TINY, mean=(0.5, 0.25, 0.0), std=(1.0, 0.5, 0.3))
    export_onnx(randomize(ResNet(spec, classes=3)), tmp_path / 'x.onnx', 32)
    told = OnnxNet(tmp_path / 'x.onnx').metadata
    assert (told['mean'], told['std']) == ('(0.5, 0.25, 0.0)', '(1.0, 0.5, 0.3)')


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


def test_what_was_looked_at_is_what_runs(exported, tmp_path, monkeypatch):
    """Another file may have taken its place in between."""
    path = tmp_path / 'x.onnx'
    path.write_bytes(exported[1].read_bytes())

    def inspect(path):
        found = before(path)
        path.write_bytes(b'another')
        return found

    before = onnx_files.inspect
    monkeypatch.setattr(onnx_files, 'inspect', inspect)
    x = images(1, 3, 32, 32)
    assert relative_error(OnnxNet(path)(x).asnumpy(), exported[0](x).asnumpy()) < 1e-4


def info(name, sides, kind=onnx.TensorProto.FLOAT):
    return onnx.helper.make_tensor_value_info(name, kind, sides)


def write(path, inputs, outputs, nodes, weights=(), **settings):
    """A file of these parts."""
    graph = onnx.helper.make_graph(nodes, 'g', inputs, outputs, weights)
    model = onnx.helper.make_model(graph, **{'ir_version': 7, 'opset_imports': [onnx.helper.make_opsetid('', 13)],
                                             **settings})
    onnx.save(model, str(path))
    return path


POOL = [onnx.helper.make_node('GlobalAveragePool', ['data'], ['x']), onnx.helper.make_node('Flatten', ['x'], ['y'])]
IMAGES, LOGITS = info('data', ['N', 3, 'H', 'W']), info('y', ['N', 3])


def pooled(shape):
    """The classifier, with its rows in another shape."""
    sides = onnx.numpy_helper.from_array(np.array(shape), 's')
    return dict(nodes=[POOL[0], onnx.helper.make_node('Reshape', ['x', 's'], ['y'])], weights=[sides])


def resized(inputs=('x', '', '', 'sizes'), mode='linear', cut=2):
    """A map of the size of the images, ``z``, with sizes and attributes that may be others."""
    def constant(name, *values):
        return onnx.numpy_helper.from_array(np.array(values), name)

    node = onnx.helper.make_node
    return dict(nodes=[*POOL, node('Shape', ['data'], ['s']), node('Slice', ['s', 'none', 'two'], ['leading']),
                       node('Slice', ['s', 'cut', 'four'], ['sides']),
                       node('Concat', ['leading', 'sides'], ['sizes'], axis=0),
                       node('Resize', inputs, ['z'], mode=mode, coordinate_transformation_mode='align_corners')],
                outputs=[info('s', ['N', 3, 'H', 'W'])],
                weights=[constant('none', 0), constant('two', 2), constant('cut', cut), constant('four', 4)])


def test_maps_are_run(tmp_path):
    net = OnnxNet(write(tmp_path / 'x.onnx', [IMAGES], **{**resized(), 'outputs': [info('z', ['N', 3, 'H', 'W'])]}))
    x = images(2, 3, 20, 18)
    means = x.asnumpy().mean(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(net(x).asnumpy(), np.broadcast_to(means, x.shape), rtol=1e-5, atol=1e-6)


def test_a_file_of_its_operators_is_run(tmp_path):
    net = OnnxNet(write(tmp_path / 'x.onnx', [IMAGES], [LOGITS], POOL))
    x = images(2, 3, 20, 18)
    np.testing.assert_allclose(net(x).asnumpy(), x.asnumpy().mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    assert (net.channels, net.classes) == (3, 3)


@pytest.mark.parametrize('change, words', [
    (dict(inputs=[IMAGES, info('more', ['N', 3, 'H', 'W'])]), '2 inputs and 1 outputs'),
    (dict(inputs=[]), '0 inputs'), (dict(outputs=[LOGITS, info('x', ['N', 3, 1, 1])]), '1 inputs and 2 outputs'),
    (dict(inputs=[info('data', ['N', 3, 'H'])]), r'data is no array \(N, C, H, W\)'),
    (dict(inputs=[info('data', ['N', 3, 32, 32])]), 'data is no array'),
    (dict(inputs=[info('data', None)]), 'data is no array'),
    (dict(inputs=[info('data', [1, 3, 'H', 'W'])]), 'data is no array'),
    (dict(inputs=[info('data', ['N', 3, 'H', 'W'], onnx.TensorProto.DOUBLE)]), 'data is no array .* of float32'),
    (dict(inputs=[onnx.helper.make_tensor_sequence_value_info('data', onnx.TensorProto.FLOAT, ['N', 3, 'H', 'W'])]),
     'data is no array'),
    (dict(outputs=[info('y', ['N', 3, 1])]), r'y is no array \(N, classes\)'),
    (dict(outputs=[info('y', ['N', 3, 1, 1])]), r'y is no array \(N, classes, H, W\)'),
    (dict(outputs=[info('y', ['N', 3], onnx.TensorProto.INT64)]), 'y is no array'),
    (dict(outputs=[info('data', ['N', 3])]), 'no node makes its output'),
    (dict(nodes=[*POOL, POOL[1]]), 'its outputs are others'), (dict(nodes=POOL[::-1]), 'its inputs are not there'),
    (dict(nodes=[POOL[0], onnx.helper.make_node('Loop', ['x'], ['y'])]), 'no such operator'),
    (dict(nodes=[POOL[0], onnx.helper.make_node('Flatten', ['x'], ['y'], domain='other')]), 'no such operator'),
    (dict(nodes=[onnx.helper.make_node('MaxPool', ['data'], ['x'], kernel_shape=[3, 3], strides=[0, 1],
                                       pads=[1, 1, 1, 1]), POOL[1]]), r'no attribute strides = \[0, 1\]'),
    (dict(nodes=[onnx.helper.make_node('MaxPool', ['data'], ['x'], kernel_shape=[3, 3], strides=[1, 1],
                                       pads=[1, 1, 1, 2]), POOL[1]]), 'pads more than its window'),
    (dict(nodes=[onnx.helper.make_node('MaxPool', ['data'], ['x'], kernel_shape=[3, 3]), POOL[1]]),
     'an attribute is missing'),
    (resized(cut=1), 'has no shape'), (resized(), 'no node makes its output'),
    (resized(mode='cubic'), 'no attribute mode = cubic'), (resized(inputs=['x', '', '', 's']), 'has no shape'),
    (resized(inputs=['x', '', '']), 'has no shape'), (resized(inputs=['x', '', 'data', 'sizes']), 'has no shape'),
    (pooled([2 ** 40, -1, 1, 1]), 'has no shape'), (pooled([0, -1]), 'has no shape'),
    (dict(opset_imports=[onnx.helper.make_opsetid('', 19)]), 'not of opset 13'),
    (dict(opset_imports=[onnx.helper.make_opsetid('', 13), onnx.helper.make_opsetid('x', 1)]), 'not of opset 13'),
])
def test_files_of_other_things_are_refused(tmp_path, change, words):
    parts = {'inputs': [IMAGES], 'outputs': [LOGITS], 'nodes': POOL, **change}
    with pytest.raises(InputError, match=rf'x\.onnx: onnxruntime cannot load it: .*{words}') as raised:
        OnnxNet(write(tmp_path / 'x.onnx', **parts))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('change', [
    dict(dims=[2 ** 40]), dict(dims=[-3]), dict(dims=[]), dict(data_type=onnx.TensorProto.STRING), dict(float_data=[]),
    dict(data_location=onnx.TensorProto.EXTERNAL), dict(raw_data=b'1234')], ids=str)
def test_damaged_weights_are_refused(tmp_path, change):
    weight = onnx.helper.make_tensor('w', onnx.TensorProto.FLOAT, [1, 3, 1, 1], np.ones(3))
    for name, value in change.items():
        weight.ClearField(name)
        getattr(weight, name).extend(value) if isinstance(value, list) else setattr(weight, name, value)
    nodes = [POOL[0], onnx.helper.make_node('Mul', ['x', 'w'], ['z']), onnx.helper.make_node('Flatten', ['z'], ['y'])]
    with pytest.raises(InputError, match='the weight w is damaged'):
        OnnxNet(write(tmp_path / 'x.onnx', [IMAGES], [LOGITS], nodes, [weight]))


def test_what_is_no_row_for_each_image_is_refused_when_it_runs(tmp_path):
    """The file says (N, 3), its operators give one row for all images, or other classes."""
    net = OnnxNet(write(tmp_path / 'x.onnx', [IMAGES], [info('y', ['N', 4])], POOL))
    with pytest.raises(InputError, match=r'x\.onnx: it gives \(2, 3\) of float32 for 2 images, not their logits'):
        net(images(2, 3, 20, 20))
    for x in (np.zeros((2, 3, 20, 20)), np.zeros((2, 3, 20), 'float32'), np.zeros((0, 3, 20, 20), 'float32')):
        with pytest.raises(InputError, match=r'cannot run it on .*: it takes float32 \(N, 3, H, W\)'):
            net.run(x)
    weight = onnx.helper.make_tensor('w', onnx.TensorProto.FLOAT, [2, 3, 1, 1], np.ones(6))
    nodes = [POOL[0], onnx.helper.make_node('Mul', ['x', 'w'], ['z']), onnx.helper.make_node('Flatten', ['z'], ['y'])]
    net = OnnxNet(write(tmp_path / 'x.onnx', [IMAGES], [LOGITS], nodes, [weight]))
    with pytest.raises(InputError, match=r'it gives \(2, 3\) of float32 for 1 images'):
        net(images(1, 3, 20, 20))
    with pytest.raises(InputError, match=r'onnxruntime cannot run it on \(3, 3, 20, 20\)'):
        net(images(3, 3, 20, 20))
