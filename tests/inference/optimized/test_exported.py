"""Exported files that somebody changed, with hashes that fit: refused in one line, before mxnet sees them."""
import hashlib
import json
import shutil

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.inference import load, optimize
from resnest.gluon.models import ResNet

from ...conftest import TINY, randomize

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
    ('float32', lambda graph: graph.update(heads=[]), 'not enough values'),
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
    (lambda arrays: arrays.update({'aux:more': mx.nd.ones(3)}), 'params: .*the array more'),
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
    (dict(precision='\n' * 9), 'unknown precision'), (dict(report=[]), 'not written by export'),
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
