"""Exported files that somebody changed, with hashes that fit: refused in one line, before mxnet sees them."""
import hashlib
import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon.model_zoo import vision

from resnest.errors import InputError
from resnest.gluon.graph import Node
from resnest.gluon.inference import load, optimize
from resnest.gluon.inference.optimized.channels import count_channels
from resnest.gluon.models import ResNet

from ...conftest import TINY, randomize, relative_error

X = mx.nd.array(np.random.default_rng(1).normal(size=(2, 3, 32, 32)))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The files of one network in float32 and in int8, without native operators."""
    made, net = tmp_path_factory.mktemp('exported'), randomize(ResNet(TINY, classes=4))
    for precision in ('float32', 'int8'):
        optimize(net, X, precision, [X], native=False, agreement=0).export(made / precision)
    return made


@pytest.fixture
def changed(folder, tmp_path):
    """A function that changes the files of a precision: ``symbol(graph)``, ``arrays(dict)`` and ``about(dict)``."""
    def change(precision, symbol=None, arrays=None, about=None):
        for path in folder.glob(f'{precision}*'):
            shutil.copy(path, tmp_path / path.name.replace(precision, 'x'))
        files = {'symbol': tmp_path / 'x-symbol.json', 'params': tmp_path / 'x-0000.params'}
        if symbol:
            graph = json.loads(files['symbol'].read_text())
            symbol(graph)
            files['symbol'].write_text(json.dumps(graph))
        if arrays:
            values = mx.nd.load(str(files['params']))
            arrays(values)
            mx.nd.save(str(files['params']), values)
        told = json.loads((tmp_path / 'x.json').read_text())
        told['sha256'] = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
        if about:
            about(told)
        (tmp_path / 'x.json').write_text(json.dumps(told))
        return tmp_path / 'x'
    return change


def node(graph, op, number=0):
    return [each for each in graph['nodes'] if each['op'] == op][number]


def inside(graph, op):
    """A node in the first oneDNN convolution."""
    return node({'nodes': node(graph, '_sg_mkldnn_conv')['subgraphs'][0]['nodes']}, op)


def attributes(op, **values):
    return lambda graph: node(graph, op).setdefault('attrs', {}).update(values)


def inner(op, **values):
    return lambda graph: inside(graph, op)['attrs'].update(values)


def wire(op, place, *entry):
    def change(graph):
        node(graph, op)['inputs'][place] = [*entry, 0]
    return change


def forwards(graph):
    graph['nodes'][3]['inputs'][0] = [len(graph['nodes']) - 1, 0, 0]


def other_range(graph):
    layer, other = (node(graph, '_sg_mkldnn_conv', number) for number in (3, 1))
    layer['inputs'][3] = other['inputs'][3]


def twice(graph):
    names = [each for each in graph['nodes'] if each['op'] == 'null']
    names[2]['name'] = names[1]['name']


@pytest.mark.parametrize('precision, change, words', [
    ('float32', lambda graph: node(graph, 'softmax').update(op='Custom'), 'no operator Custom'),
    ('float32', lambda graph: graph.update(nodes=graph['nodes'][0]), 'no list of nodes'),
    ('float32', lambda graph: graph['nodes'][1].update(name=7), 'node 1 is none'),
    ('float32', lambda graph: graph.update(heads=[]), '0 outputs'),
    ('float32', lambda graph: graph.update(heads=[[2, 0, 0]]), 'it does not use'),
    ('float32', forwards, 'no input'),
    ('float32', twice, 'it stands there twice'),
    ('float32', wire('Flatten', 0, 0, 1), 'reads output 1 of a node with 1'),
    ('float32', wire('Flatten', 0, True, 0), 'no input'),
    ('float32', attributes('Pooling', kernel='(0, 3)'), r'no attribute kernel = \(0, 3\)'),
    ('float32', attributes('Pooling', stride='(0, 0)'), 'no attribute stride'),
    ('float32', attributes('Pooling', pad='(9, 9)'), 'pads more than its window'),
    ('float32', attributes('Pooling', kernel=3), 'no attribute kernel = 3'),
    ('float32', attributes('Pooling', p_value='2'), 'no attribute p_value'),
    ('float32', attributes('SliceChannel', num_outputs='99'), '99 splits'),
    ('float32', attributes('Reshape', shape='(99999, -1, 1, 1)'), 'no attribute shape'),
    ('float32', attributes('slice', begin='(None, 8)', end='(None, 8)'), 'nothing is from 8 to 8'),
    ('float32', attributes('_sg_mkldnn_conv', with_sum='true'), 'fusion'),
    ('float32', attributes('_sg_mkldnn_conv', with_sum='true', with_act='false'), 'its subgraph is not what'),
    ('float32', attributes('_sg_mkldnn_conv', quantized='true'), 'no range is from None'),
    ('float32', lambda graph: node(graph, '_sg_mkldnn_conv').update(subgraphs=[]), 'its subgraph is missing'),
    ('float32', inner('Convolution', stride='(0, 0)'), 'no attribute stride'),
    ('float32', inner('Convolution', num_filter='99999'), 'its layers do not fit each other'),
    ('float32', inner('Convolution', num_group='3'), 'its layers do not fit each other'),
    ('float32', inner('Activation', act_type='tanh'), 'no attribute act_type'),
    ('float32', lambda graph: inside(graph, 'Activation').update(inputs=[[1, 0, 0]]), 'its subgraph is not what'),
    ('int8', other_range, 'with the range of another'),
    ('int8', lambda graph: node(graph, '_sg_mkldnn_conv')['attrs'].update(quantized='false'), 'a range without'),
    ('int8', lambda graph: node(graph, '_sg_mkldnn_conv')['inputs'].pop(), 'in the place of'),
    ('int8', lambda graph: node(graph, '_contrib_dequantize').update(op='Flatten'), 'in the place of'),
    ('int8', attributes('_contrib_quantize_v2', max_calib_range='nan'), 'no attribute max_calib_range'),
    ('int8', attributes('_contrib_quantize_v2', min_calib_range='5', max_calib_range='1'), 'no range is from 5'),
])
def test_other_symbols_are_refused(changed, precision, change, words):
    with pytest.raises(InputError, match=f'x-symbol.json: .*{words}') as raised:
        load(changed(precision, symbol=change))
    assert '\n' not in str(raised.value)


def other(name, change):
    return lambda arrays: arrays.update({name: change(arrays[name])})


@pytest.mark.parametrize('change, words', [
    (other('arg:fc.weight', lambda value: value.astype('float64')), r'params: .*the array fc\.weight'),
    (other('arg:fc.weight', lambda value: value.reshape(-1)), r'symbol\.json: its layers do not fit'),
    (other('arg:fc.bias', lambda value: value[:2]), r'symbol\.json: its layers do not fit'),
    (lambda arrays: arrays.pop('arg:fc.bias'), r'fc\.bias \(null\): no array'),
    (lambda arrays: arrays.update({'arg:more': mx.nd.ones(3)}), 'it does not use more'),
    (lambda arrays: arrays.update({'aux:more': mx.nd.ones(3)}), 'it does not use more'),
    (lambda arrays: arrays.update({'aux:fc.bias': arrays['arg:fc.bias']}), 'params: .*the array fc.bias'),
    (lambda arrays: arrays.update({'aux:fc.bias': arrays.pop('arg:fc.bias')}), 'fc.bias is a parameter in one'),
    (lambda arrays: arrays.update({'arg:data': mx.nd.ones(3)}), 'params: .*the array data'),
], ids=lambda value: value if isinstance(value, str) else 'other')
def test_other_arrays_are_refused(changed, change, words):
    with pytest.raises(InputError, match=words):
        load(changed('float32', arrays=change))


@pytest.mark.parametrize('change, words', [
    (dict(example_shape=[2, 3, 2 ** 20, 2 ** 20]), r'no network takes \[2, 3, 1048576'),
    (dict(example_shape=[2, 3, 32]), 'no network takes'), (dict(example_shape=[2, 3, 32, True]), 'no network takes'),
    (dict(example_shape=[2, 5, 32, 32]), 'its layers do not fit'), (dict(dtype='float16'), 'of float16'),
    (dict(dtype='uint8'), 'in the place of'), (dict(precision=['float32']), 'not written by export'),
    (dict(precision='\n' * 9), 'precision must be one of'), (dict(report=[]), 'not written by export'),
    (dict(sha256={}), 'not written by export'),
    (dict(native_operators='no'), 'not written by export'),
], ids=lambda value: value if isinstance(value, str) else 'other')
def test_other_descriptions_are_refused(changed, change, words):
    with pytest.raises(InputError, match=words) as raised:
        load(changed('float32', about=lambda about: about.update(change)))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('ending', ['-symbol.json', '-0000.params', '.json'])
def test_a_sparse_terabyte_is_refused_at_once(changed, ending):
    prefix = changed('float32')
    with open(f'{prefix}{ending}', 'r+b') as opened:
        opened.truncate(2 ** 40)
    with pytest.raises(InputError, match=f'x{ending}: '):
        load(prefix)


@pytest.mark.parametrize('precision', ['float32', 'int8'])
def test_a_network_is_written_again_as_it_was_read(folder, tmp_path, precision):
    again = load(folder / precision)
    again.export(tmp_path / 'x')
    np.testing.assert_array_equal(load(tmp_path / 'x')(X).asnumpy(), again(X).asnumpy())
    prefixes = folder / precision, tmp_path / 'x'
    params, symbols = ([path.with_name(path.name + ending).read_bytes() for path in prefixes]
                       for ending in ('-0000.params', '-symbol.json'))
    assert params[0] == params[1]
    one, two = ([{key: value for key, value in each.items() if each['op'] != 'null' or key != 'attrs'}
                 for each in json.loads(text)['nodes']] for text in symbols)
    assert one == two


@pytest.mark.parametrize('name, side', [('resnet18_v2', 64), ('mobilenet_v2_0_25', 64), ('squeezenet1_1', 224)])
def test_networks_of_mxnets_model_zoo(tmp_path, name, side):
    """Normalizations that stay, fusions without a bias and with a bound, and branches that are joined."""
    net = getattr(vision, name)(classes=7)
    net.initialize(mx.init.MSRAPrelu(slope=0))
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, side, side)))
    made = optimize(net, x)
    made.export(tmp_path / 'x')
    again = load(tmp_path / 'x')
    np.testing.assert_array_equal(again(x).asnumpy(), made(x).asnumpy())
    assert relative_error(again(x).asnumpy(), net(x).asnumpy()) < 1e-5
    again.export(tmp_path / 'y')
    np.testing.assert_array_equal(load(tmp_path / 'y')(x).asnumpy(), made(x).asnumpy())


class Layers(mx.gluon.nn.HybridSequential):
    """A convolution, what ``between`` makes of its output, and a classifier."""

    def __init__(self, *between):
        super().__init__()
        self.add(mx.gluon.nn.Conv2D(4, 3), *between, mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Flatten(),
                 mx.gluon.nn.Dense(3))


def apply(name, **settings):
    return mx.gluon.nn.HybridLambda(lambda F, x: getattr(F, name)(x, **settings))


@pytest.mark.parametrize('between', [
    [apply('LeakyReLU', act_type='leaky', slope=0.1)], [apply('LeakyReLU', act_type='elu', slope=1)],
    [apply('clip', a_min=0, a_max=6)], [apply('clip', a_min=-1, a_max=6)], [apply('tanh')], [apply('relu')],
    [mx.gluon.nn.Activation('sigmoid')], [apply('sigmoid'), mx.gluon.nn.BatchNorm()],
    [mx.gluon.nn.Activation('relu'), mx.gluon.nn.BatchNorm(scale=False), mx.gluon.nn.GELU()]], ids=str)
def test_layers_of_other_networks(tmp_path, between):
    net = Layers(*between)
    net.initialize(mx.init.MSRAPrelu(slope=0))
    made = optimize(net, X)
    made.export(tmp_path / 'x')
    for x in (X, mx.nd.concat(X, X, dim=2)):
        found = load(tmp_path / 'x')(x).asnumpy()
        np.testing.assert_array_equal(found, made(x).asnumpy())
        assert relative_error(found, net(x).asnumpy()) < 1e-5


@pytest.mark.parametrize('between, words', [
    ([mx.gluon.nn.Activation('relu'), mx.gluon.nn.Flatten(), mx.gluon.nn.BatchNorm(),
      apply('reshape', shape=(0, 4, 30, 30))], 'parameters for other channels than are known'),
    ([apply('sin')], 'no operator sin')], ids=['channels', 'operator'])
def test_what_load_would_refuse_is_not_written(folder, tmp_path, between, words):
    net = Layers(*between)
    net.initialize()
    for path in folder.glob('float32*'):
        shutil.copy(path, tmp_path)
    made = optimize(net, X)
    with pytest.raises(InputError, match=f'not written, because load would refuse it: .*{words}') as raised:
        made.export(tmp_path / 'float32')
    assert '\n' not in str(raised.value)
    with pytest.raises(InputError, match='not written'):
        made.export(tmp_path / 'no/x')
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in folder.glob('float32*'))
    load(tmp_path / 'float32')


@pytest.fixture(scope='module')
def normalized(tmp_path_factory):
    """The files of a network with a BatchNorm and a Concat."""
    path = tmp_path_factory.mktemp('normalized') / 'x'
    net = Layers(mx.gluon.nn.Activation('relu'), mx.gluon.nn.BatchNorm(),
                 mx.gluon.nn.HybridLambda(lambda F, x: F.concat(x, x, dim=1)))
    net.initialize()
    optimize(net, X).export(path)
    return path.parent


@pytest.mark.parametrize('arrays, symbol, words', [
    ({'arg:1.gamma': 3}, None, 'BatchNorm.: it has parameters for other channels than 4'),
    ({f'{key}:1.{name}': 3 for key, name in (('arg', 'gamma'), ('arg', 'beta'), ('aux', 'running_mean'),
                                             ('aux', 'running_var'))}, None, 'other channels than 4'),
    ({}, attributes('Concat', num_args='3'), 'in the place of'),
    ({}, attributes('BatchNorm', axis='2'), 'no attribute axis'),
    ({}, attributes('BatchNorm', output_mean_var='True'), 'no attribute output_mean_var'),
    ({}, wire('BatchNorm', 1, 0), 'its weights are no parameters'),
    ({}, attributes('Concat', dim='2'), 'no attribute dim'),
])
def test_normalizations_for_other_channels_are_refused(normalized, tmp_path, arrays, symbol, words):
    """mxnet takes the parameters for longer than they are, and reads what lies behind them."""
    for path in normalized.iterdir():
        shutil.copy(path, tmp_path)
    files = {'symbol': tmp_path / 'x-symbol.json', 'params': tmp_path / 'x-0000.params'}
    values, graph = mx.nd.load(str(files['params'])), json.loads(files['symbol'].read_text())
    names = {name.rpartition('.')[2]: name for name in values}
    values.update({names[name.rpartition('.')[2]]: mx.nd.ones(length) for name, length in arrays.items()})
    mx.nd.save(str(files['params']), values)
    if symbol:
        symbol(graph)
    files['symbol'].write_text(json.dumps(graph))
    told = json.loads((tmp_path / 'x.json').read_text())
    told['sha256'] = {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
    (tmp_path / 'x.json').write_text(json.dumps(told))
    with pytest.raises(InputError, match=words):
        load(tmp_path / 'x')


def test_concatenations_do_not_grow_without_end():
    images = Node('null', 'data')
    channels = {id(images): 10 ** 6}
    with pytest.raises(ValueError, match='too many'):
        count_channels(Node('Concat', 'x', inputs=[(images, 0)] * 2), channels, {})


def test_a_failed_export_leaves_the_good_one(folder, tmp_path, monkeypatch):
    for path in folder.glob('float32*'):
        shutil.copy(path, tmp_path)
    net = load(folder / 'int8')

    def full(path, data):
        raise OSError(28, 'No space left on device', str(path))

    monkeypatch.setattr('resnest.gluon.inference.optimized.exported.replace_file', full)
    with pytest.raises(OSError, match='No space'):
        net.export(tmp_path / 'float32')
    assert len(list(tmp_path.iterdir())) == 3
    assert load(tmp_path / 'float32').precision == 'float32'
