"""What a network costs: parameters, multiply-adds and memory, counted from the operators of the traced network."""
import json

import mxnet as mx
import numpy as np

from resnest.errors import InputError

__all__ = ['aligned', 'complexity', 'least_training_memory', 'table']


def complexity(net, size=224):
    """Count the learnable parameters of a network and the multiply-adds (MACs) of one forward pass with one image.

    Counted are convolutions, dense layers and normalizations, as in the paper's figures; a multiplication and the
    addition that follows it count as one.

    Parameters
    ----------
    net : str or HybridBlock
        The name of a model, or a network that takes images.
    size : int or (int, int)
        Height and width of the image, in pixels.

    Returns ``(parameters, macs)``. Raises InputError for a size below 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InputError(f'image size must be at least 1 px, got {height}x{width}')
    if isinstance(net, str):
        from .zoo import get_model
        net = get_model(net)
    channels = getattr(net, 'in_channels', 3)
    parameters = sum(int(np.prod(p.shape)) for p in net.collect_params().values() if p.grad_req != 'null')
    nodes, shape_of = _traced(net, (1, channels, height, width))
    macs = 0
    for node in nodes:
        if node['op'] in ('Convolution', 'FullyConnected'):
            # Every output element is the dot product of one filter (a row of the weights) with the input.
            weight = nodes[node['inputs'][1][0]]['name']    # the parameter, or its reshape
            weight = shape_of[weight if weight in shape_of else f'{weight}_output']
            macs += int(np.prod(shape_of[node['name'] + '_output'])) * int(np.prod(weight[1:]))
        elif node['op'] == 'BatchNorm':     # one multiply-add per element
            macs += int(np.prod(shape_of[node['name'] + '_output']))
    return parameters, macs


def least_training_memory(net, shape):
    """Bytes that the maps of a training step take at the least, of a batch of ``shape`` ``(N, C, H, W)`` in float32.

    Counted is what goes into each convolution, and what comes out for the normalization behind it: the gradients need
    both. What other layers keep comes on top.
    """
    nodes, shape_of = _traced(net, shape)
    kept = set()
    for node in nodes:
        if node['op'] == 'Convolution':
            before, output, *_ = node['inputs'][0]
            name = nodes[before]['name']
            kept |= {f"{node['name']}_output", next(each for each in (name, f'{name}_output', f'{name}_output{output}')
                                                   if each in shape_of)}
    return 4 * sum(int(np.prod(shape_of[name])) for name in kept)


def _traced(net, shape):
    """``(nodes, shape of each output by its name)`` of a network that takes images of ``shape``."""
    outputs = net(mx.sym.var('data'))
    internals = (mx.sym.Group(list(outputs)) if isinstance(outputs, tuple) else outputs).get_internals()
    _, shapes, _ = internals.infer_shape(data=shape)
    return json.loads(internals.tojson())['nodes'], dict(zip(internals.list_outputs(), shapes))


def table(pattern='*'):
    """A table, as text, with a line for each model whose name fits the shell pattern.

    Its columns are the parameters, the multiply-adds at 224 px and at the model's own size, and the published accuracy.
    Raises InputError where no name fits.
    """
    from .variants import VARIANTS
    from .zoo import list_models
    names = list_models(pattern)
    if not names:
        raise InputError(f"no model fits '{pattern}'; resnest models lists all")
    rows = [('model', 'params (M)', 'GMACs at 224', 'crop (px)', 'GMACs at crop', 'published top-1 (%)')]
    for name in names:
        spec = VARIANTS[name]
        parameters, macs = complexity(name)
        own = macs if spec.crop_size == 224 else complexity(name, spec.crop_size)[1]
        rows.append((name, f'{parameters / 1e6:.2f}', f'{macs / 1e9:.2f}', str(spec.crop_size), f'{own / 1e9:.2f}',
                     '-' if spec.top1 is None else f'{spec.top1:.2f}'))
    return aligned(rows)


def aligned(rows):
    """Rows of texts as the lines of a table; numbers, all but the first column, stand at the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(cell.ljust(width) if index == 0 else cell.rjust(width)
                               for index, (cell, width) in enumerate(zip(row, widths))) for row in rows)
