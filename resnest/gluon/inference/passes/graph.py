"""A small mutable view of an mxnet symbol: nodes with attributes and inputs, read from its JSON and written back."""
import json

import mxnet as mx

__all__ = ['Node', 'from_symbol', 'to_symbol', 'users', 'vectors', 'walk']


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
        data = [id(child) for child, _ in node.inputs if child.op != 'null' or child.name == 'data']
        if node.flag('global_pool') or node.op == 'split_attention_pool' or data and found.issuperset(data):
            found.add(id(node))
    return found


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
