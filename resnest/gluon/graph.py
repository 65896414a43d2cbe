"""A small mutable view of an mxnet symbol: nodes with attributes and inputs, read from its JSON and written back."""
import json

import mxnet as mx

__all__ = ['INPUT', 'LINEAR', 'SHAPE', 'Node', 'before', 'from_json', 'from_symbol', 'in_type', 'output_name',
           'to_symbol', 'users', 'vectors', 'walk']

INPUT = 'data'      # the name of the variable that is the images; all others are parameters
SHAPE = '__shape__'     # the attribute of a variable that holds its shape
MOST_NODES = 50_000
LINEAR = ('Convolution', 'FullyConnected')      # they read a map, a weight and, unless they say no_bias, a bias


class Node:
    """An operator or, with ``op`` 'null', a variable. ``inputs`` are pairs (node, number of its output).

    ``subgraphs`` is what a fused operator holds: a list of outputs, such pairs too, for each graph.
    """

    def __init__(self, op, name, attrs=None, inputs=(), subgraphs=()):
        self.op = op
        self.name = name
        self.attrs = dict(attrs or {})
        self.inputs = list(inputs)
        self.subgraphs = subgraphs

    def __repr__(self):
        return f'{self.op}({self.name})'

    def flag(self, name, default=False):
        """The boolean attribute ``name``."""
        return self.attrs.get(name, str(default)) in ('True', 'true', '1')

    @property
    def is_parameter(self):
        """Whether it is a variable with a value: not an operator, nor the images."""
        return self.op == 'null' and self.name != INPUT

    @property
    def layer(self):
        """What the network calls the layer of a linear operator: ``layer1.0.conv1`` of ``layer1.0.conv1.weight``.

        That is how Gluon names parameters; where a weight's name has no parts, it is the node's own name.
        """
        return self.inputs[1][0].name.rpartition('.')[0] or self.name


def from_symbol(symbol):
    """The outputs of a symbol as pairs (node, number)."""
    return from_json(json.loads(symbol.tojson(remove_amp_cast=False)))


def from_json(graph, inside=False):
    """The same from a symbol's JSON, that may be anybody's; raises ValueError for what is no graph.

    Each node must come after those that it reads, and only the outermost graph's may hold others (``inside``).
    """
    rows = graph.get('nodes') if isinstance(graph, dict) else None
    if not isinstance(rows, list) or len(rows) > MOST_NODES:
        raise ValueError('no list of nodes')
    nodes = []
    for row in rows:
        op, name, attrs, subgraphs = (row.get(key, default) for key, default in (
            ('op', None), ('name', None), ('attrs', {}), ('subgraphs', []))) if isinstance(row, dict) else [None] * 4
        if not (isinstance(op, str) and isinstance(name, str) and isinstance(attrs, dict)
                and isinstance(subgraphs, list) and len(subgraphs) <= (not inside)):
            raise ValueError(f'node {len(nodes)} is none')
        nodes.append(Node(op, name, attrs, _entries(row.get('inputs'), nodes),
                          [from_json(each, inside=True) for each in subgraphs]))
    return _entries(graph.get('heads'), nodes)


def _entries(rows, nodes):
    """The pairs (node, number of output) of what stands as [node, output, version] in a graph."""
    if not isinstance(rows, list):
        raise ValueError('no list of inputs')
    for row in rows:
        if not isinstance(row, list) or len(row) not in (2, 3) or any(type(each) is not int for each in row) \
                or not (0 <= row[0] < len(nodes) and row[1] >= 0):
            raise ValueError(f'no input {row}')
    return [(nodes[row[0]], row[1]) for row in rows]


def before(node, *operators):
    """The node whose output comes to ``node`` through ``operators`` alone."""
    while node.op in operators:
        node = node.inputs[0][0]
    return node


def walk(outputs):
    """The nodes that ``outputs`` need, each once and after its inputs."""
    seen = {}
    pending = [(node, False) for node, _ in reversed(outputs)]
    while pending:
        node, ready = pending.pop()
        if ready:
            seen[id(node)] = node
        elif id(node) not in seen:
            pending.append((node, True))
            pending += [(child, False) for child, _ in reversed(node.inputs) if id(child) not in seen]
    return list(seen.values())


def users(outputs):
    """A dict from a node's id to the nodes that read it, once for each reading input; None stands for the outside."""
    found = {id(node): [] for node in walk(outputs)}
    for node in walk(outputs):
        for child, _ in node.inputs:
            found[id(child)].append(node)
    for node, _ in outputs:
        found[id(node)].append(None)
    return found


def vectors(outputs):
    """Ids of the nodes with one value a channel: global poolings, and what is computed from such nodes alone."""
    found = set()
    for node in walk(outputs):
        data = [id(child) for child, _ in node.inputs if not child.is_parameter]
        if node.flag('global_pool') or node.op == 'split_attention_pool' or data and found.issuperset(data):
            found.add(id(node))
    return found


def output_name(name, number=''):
    """What mxnet calls the output of the node ``name``, or the one of this ``number`` where it has several."""
    return f'{name}_output{number}'


def to_symbol(outputs):
    """The mxnet symbol of ``outputs``."""
    return mx.sym.load_json(json.dumps({**_json(outputs), 'attrs': {'mxnet_version': ['int', 10901]}}))


def _json(outputs):
    nodes = walk(outputs)
    index = {id(node): number for number, node in enumerate(nodes)}
    rows = [{'op': node.op, 'name': node.name, 'attrs': node.attrs,
             'inputs': [[index[id(child)], output, 0] for child, output in node.inputs],
             **({'subgraphs': [_json(each) for each in node.subgraphs]} if node.subgraphs else {})} for node in nodes]
    return {'nodes': rows, 'arg_nodes': [index[id(node)] for node in nodes if node.op == 'null'],
            'heads': [[index[id(node)], output, 0] for node, output in outputs]}


def in_type(entry, dtype, low, casts):
    """An entry in ``dtype``, 'bfloat16' or 'float32': itself, or a conversion, which ``casts`` keeps for other readers.

    ``low`` holds the ``id`` of each node whose outputs are bfloat16; those of all others are float32.
    """
    node, number = entry
    if (id(node) in low) == (dtype == 'bfloat16'):
        return entry
    key = id(node), number, dtype
    if key not in casts:
        casts[key] = Node('amp_cast', f'{node.name}_{number}_{dtype}', {'dtype': dtype}, [entry])
    return casts[key], 0
