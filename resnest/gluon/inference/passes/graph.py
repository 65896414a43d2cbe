"""A small mutable view of an mxnet symbol: nodes with attributes and inputs, read from its JSON and written back."""
import json

import mxnet as mx

__all__ = ['INPUT', 'LINEAR', 'Node', 'from_symbol', 'output_name', 'to_symbol', 'users', 'vectors', 'walk']

INPUT = 'data'      # the name of the variable that is the images; all others are parameters
LINEAR = ('Convolution', 'FullyConnected')      # they read a map, a weight and, unless they say no_bias, a bias


class Node:
    """An operator or, with ``op`` 'null', a variable. ``inputs`` are pairs (node, number of its output).

    ``subgraphs`` is what a fused operator holds, as it stands in the JSON.
    """

    def __init__(self, op, name, attrs=None, inputs=(), subgraphs=None):
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
    graph = json.loads(symbol.tojson(remove_amp_cast=False))
    nodes = []
    for row in graph['nodes']:
        inputs = [(nodes[index], output) for index, output, *_ in row['inputs']]
        nodes.append(Node(row['op'], row['name'], row.get('attrs'), inputs, row.get('subgraphs')))
    return [(nodes[index], output) for index, output, *_ in graph['heads']]


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


def output_name(name):
    """What mxnet calls the first output of the node ``name``."""
    return f'{name}_output'


def to_symbol(outputs):
    """The mxnet symbol of ``outputs``."""
    nodes = walk(outputs)
    index = {id(node): number for number, node in enumerate(nodes)}
    rows = [{'op': node.op, 'name': node.name, 'attrs': node.attrs,
             'inputs': [[index[id(child)], output, 0] for child, output in node.inputs],
             **({'subgraphs': node.subgraphs} if node.subgraphs else {})} for node in nodes]
    graph = {'nodes': rows, 'arg_nodes': [index[id(node)] for node in nodes if node.op == 'null'],
             'heads': [[index[id(node)], output, 0] for node, output in outputs],
             'attrs': {'mxnet_version': ['int', 10901]}}
    return mx.sym.load_json(json.dumps(graph))
