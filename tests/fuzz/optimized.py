"""The three files of an exported network: damaged, other wires and attributes, other arrays; the hashes made to fit."""
import hashlib
import json
import tempfile
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import with_normalization
from resnest.gluon.inference import load, optimize
from resnest.gluon.inference.optimized.precision import require_cpu
from resnest.gluon.models import ResNet, VariantSpec
from resnest.gluon.nn import native

from ..conftest import randomize
from .mutations import damaged_bytes, damaged_json, hostile_file

ENDINGS = ('-symbol.json', '-0000.params', '.json')
TEXTS = ['', '0', '-1', '1', '2', '3', '7', '99', '65536', '2147483647', '4294967296', '1e99', '-1e30', 'nan', 'inf',
         'True', 'False', 'None', '()', '(0, 0)', '(1, 1)', '(2, 2)', '(-1, 1)', '(99, 99)', '(1, 1, 1)', '(0, -1)',
         '(None, 5)', '(0, 0, 0, 0)', '(0, -1, 1, 1)', '(0, 3, 5, -1)', '(3, 2, 1, 0)', 'relu', 'tanh', 'avg', 'sum',
         'NHWC', 'int8', 'float16', 'a\nb', 'é' * 300]


def samples():
    """The files of small networks, as bytes."""
    made, folder = [], Path(tempfile.mkdtemp(prefix='fuzz-'))
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 32, 32)))
    pixels = mx.nd.zeros((2, 32, 32, 3), dtype='uint8')
    for radix, cardinality, stem in ((2, 1, 4), (1, 2, 32)):    # 32: some by Winograd's algorithm
        spec = VariantSpec('tiny', (1, 1, 1, 1), radix=radix, cardinality=cardinality, bottleneck_width=4,
                           stem_width=stem)
        net = randomize(ResNet(spec, classes=3))
        for precision, kind in (('float32', None), ('float32', 'native'), ('bfloat16', 'pixels'), ('int8', None),
                                ('int8', 'native')):
            try:
                require_cpu(precision)
                whole, example = (with_normalization(net), pixels) if kind == 'pixels' else (net, x)
                optimize(whole, example, precision, [example], native=kind == 'native',
                         agreement=0).export(folder / 'x')
            except InputError:
                continue        # a CPU without this precision, a machine without a compiler
            made.append([Path(f'{folder / "x"}{ending}').read_bytes() for ending in ENDINGS])
    return made


native.load()
SAMPLES = samples()


def case(rng, folder):
    files = dict(zip(ENDINGS, SAMPLES[rng.integers(len(SAMPLES))]))
    ending = ENDINGS[rng.choice(3, p=[0.6, 0.25, 0.15])]
    if ending == '.json':
        files[ending] = damaged_json(rng, files[ending].decode())
    else:
        damage = other_symbol if ending == '-symbol.json' and rng.random() < 0.7 else \
            (lambda rng, data: damaged_json(rng, data.decode())) if ending == '-symbol.json' else other_arrays
        files[ending] = damage(rng, files[ending])
        if rng.random() < 0.97:
            files['.json'] = fitting(files)
    for name, data in files.items():
        (folder / f'x{name}').write_bytes(data)
    if rng.random() < 0.02:
        (folder / f'x{ending}').unlink()
        hostile_file(rng, folder / f'x{ending}')
    net = load(folder / 'x')
    net.describe()
    images = rng.normal(size=(2, 3, 32, 32)) if net.dtype == 'float32' else rng.integers(0, 256, (2, 32, 32, 3))
    assert net(mx.nd.array(images, dtype=net.dtype)).asnumpy().shape[0] == 2


def fitting(files):
    """The description with the hashes of the other files."""
    about = json.loads(files['.json'])
    about['sha256'] = {key: hashlib.sha256(files[ending]).hexdigest()
                       for key, ending in (('symbol', '-symbol.json'), ('params', '-0000.params'))}
    return json.dumps(about).encode()


def other_symbol(rng, data):
    """A symbol with other wires, attributes, operators or heads, each of its right type."""
    graph = json.loads(data)
    for _ in range(rng.integers(1, 4)):
        nodes = graph['nodes']
        number = int(rng.integers(len(nodes)))
        node = nodes[number]
        inner = node['subgraphs'][0]['nodes'] if node.get('subgraphs') and rng.random() < 0.5 else nodes
        node = inner[number if inner is nodes else int(rng.integers(len(inner)))]
        kind, attrs = rng.integers(10), node.setdefault('attrs', {})
        if kind <= 2 and attrs:
            attrs[str(rng.choice(list(attrs)))] = TEXTS[rng.integers(len(TEXTS))]
        elif kind == 3:
            attrs.update(nodes[rng.integers(len(nodes))].get('attrs') or {})
        elif kind == 4 and attrs:
            del attrs[str(rng.choice(list(attrs)))]
        elif kind == 5 and node['inputs']:
            wire = int(rng.integers(max(number, 1))), int(rng.integers(3))
            node['inputs'][rng.integers(len(node['inputs']))][:2] = wire
        elif kind == 6 and node['inputs']:
            node['inputs'] = [node['inputs'][place] for place in rng.permutation(len(node['inputs']))]
        elif kind == 7:
            node['op'] = nodes[rng.integers(len(nodes))]['op']
        elif kind == 8 and attrs:       # a value that another node has
            name = str(rng.choice(list(attrs)))
            inside = [each for row in nodes for graph in row.get('subgraphs', ()) for each in graph['nodes']]
            values = [row['attrs'][name] for row in nodes + inside if name in (row.get('attrs') or {})]
            attrs[name] = str(rng.choice(values))
        else:
            graph['heads'] = [[int(rng.integers(len(nodes))), int(rng.integers(2)), 0]]
    return json.dumps(graph).encode()


def other_arrays(rng, data):
    """Damaged bytes, or arrays of other shapes, types and names."""
    if rng.random() < 0.5:
        return damaged_bytes(rng, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'x')
        path.write_bytes(data)
        arrays = mx.nd.load(str(path))
        name = str(rng.choice(list(arrays)))
        kind, array = rng.integers(6), arrays[name]
        if kind == 0:
            arrays[name] = array.astype('float32').astype(str(rng.choice(['float32', 'float64', 'uint8', 'int32'])))
        elif kind == 1:
            arrays[name] = array.reshape(-1)
        elif kind == 2:
            arrays[name] = arrays[str(rng.choice(list(arrays)))]
        elif kind == 3:
            del arrays[name]
        elif kind == 4:
            arrays[str(rng.choice([name[4:], 'aux:' + name[4:], 'arg:data', 'arg:', 'x']))] = array
        else:
            arrays[name] = mx.nd.array(rng.choice([np.nan, 1e38, -1e38, 0], array.shape)).astype('float32')
        mx.nd.save(str(path), arrays)
        return path.read_bytes()
