"""Split attention rewritten for oneDNN, on symbols: the same logits but for rounding, in less time. For inference only.

Average pooling and the products of the attention are linear and work channel by channel, so
``pool(sum_r a_r x_r) = sum_r a_r pool(x_r)``: the products, which oneDNN does not run, then work on a quarter of the
values. The splits are taken by ``slice``, which oneDNN runs, where SliceChannel first copies the whole.
"""
from resnest.gluon.graph import Node, from_symbol, to_symbol, users, vectors, walk

__all__ = ['pool_early', 'slice_splits']

BLOCK = 16
KEEPING = ('Activation', 'Pooling')     # operators whose output has the channels of their input


def pool_early(symbol):
    """``symbol`` with each average pooling of a split attention moved before its products.

    Where the splits are then pooled over all positions and nothing else, they are pooled before they are split.
    """
    outputs = from_symbol(symbol)
    readers, single = users(outputs), vectors(outputs)
    moved = {}
    for pool in walk(outputs):
        chain = {}
        if (pool.op == 'Pooling' and pool.attrs.get('pool_type') == 'avg' and not pool.flag('global_pool')
                and len(readers[id(pool.inputs[0][0])]) == 1):
            entry = _moved(pool.inputs[0], pool, single, chain)
            if len(chain) > 1:
                moved[id(pool)] = entry
    if moved:
        for node in walk(outputs):
            node.inputs = [moved.get(id(child), (child, number)) for child, number in node.inputs]
        _split_late(outputs)
    return to_symbol(outputs)


def _moved(entry, pool, single, chain):
    """``pool(entry)`` with the pooling as early as it goes; ``chain`` gathers the new nodes by the old ones' ids."""
    node, number = entry
    if id(node) not in chain:
        if node.op in ('elemwise_add', 'elemwise_sub'):
            inputs = [_moved(child, pool, single, chain) for child in node.inputs]
        elif node.op in ('broadcast_mul', 'split_attention_sum') and id(node.inputs[1][0]) in single:
            inputs = [_moved(node.inputs[0], pool, single, chain), node.inputs[1]]
        elif node.op == 'SliceChannel' and node.attrs.get('axis', '1') == '1':
            inputs = [_moved(node.inputs[0], pool, single, chain)]
        else:
            chain[id(node)] = Node('Pooling', f'{pool.name}_early', pool.attrs, [entry])
            return chain[id(node)], 0
        chain[id(node)] = Node(node.op, f'{node.name}_late', node.attrs, inputs)
    return chain[id(node)], number if node.op == 'SliceChannel' else 0


def _split_late(outputs):
    """Pool the channels before they are split, where the parts are pooled over all positions and nothing else."""
    readers = users(outputs)
    late = {}
    for split in walk(outputs):
        parts = readers[id(split)]
        if split.op == 'SliceChannel' and all(part and part.op == 'Pooling' and part.flag('global_pool')
                                              for part in parts):
            whole = Node('Pooling', f'{split.name}_pool', parts[0].attrs, split.inputs)
            pooled = Node('SliceChannel', f'{split.name}_pooled', split.attrs, [(whole, 0)])
            late.update({id(part): (pooled, part.inputs[0][1]) for part in parts})
    for node in walk(outputs):
        node.inputs = [late.get(id(child), (child, number)) for child, number in node.inputs]


def slice_splits(symbol):
    """``symbol`` with ``slice`` for each SliceChannel of a convolution's channels."""
    outputs = from_symbol(symbol)
    slices = {}
    for split in walk(outputs):
        made = _convolution(split.inputs[0][0]) if split.op == 'SliceChannel' else None
        if made and _fits(split, made):
            count = int(split.attrs['num_outputs'])
            width = int(made.attrs['num_filter']) // count
            for part in range(count):
                attrs = {'begin': f'(None, {part * width})', 'end': f'(None, {(part + 1) * width})'}
                slices[id(split), part] = Node('slice', f'{split.name}_part{part}', attrs, split.inputs)
    for node in walk(outputs):
        node.inputs = [(slices[id(child), part], 0) if (id(child), part) in slices else (child, part)
                       for child, part in node.inputs]
    return to_symbol(outputs)


def _fits(split, made):
    """Whether ``slice`` can take the parts: oneDNN blocks the channels of an ungrouped convolution by up to 16."""
    whole = int(made.attrs['num_filter']) // int(split.attrs['num_outputs']) % BLOCK == 0
    return (split.attrs.get('axis', '1') == '1' and not split.flag('squeeze_axis') and
            (whole or int(made.attrs.get('num_group', 1)) > 1))


def _convolution(node):
    """The convolution that made the channels of a node's output, None where none is near."""
    while node.op in KEEPING:
        node = node.inputs[0][0]
    return node if node.op == 'Convolution' else None
