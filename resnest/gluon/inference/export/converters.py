"""How the operators that take the height and width of another array become ONNX, for any image size.

mxnet's own converters know resizing to fixed sizes alone, and write broadcast_like as a chain of GatherND and
ScatterND. Here the size is cut out of a Shape, and ONNX's Resize and Expand take it.
"""
__all__ = ['CONVERTERS']


def _expand(node, **kwargs):
    """broadcast_like of ``(N, C, 1, 1)`` along height and width."""
    name, (x, like) = node['name'], _inputs(node, kwargs)
    attributes = node.get('attrs', {})
    if attributes.get('lhs_axes') != '(2, 3)' or attributes.get('rhs_axes') != '(2, 3)':
        raise AttributeError('broadcast_like along other axes than height and width')
    sides = _cut(like, f'{name}_sides', 2, 4, kwargs)
    leading = _numbers(f'{name}_leading', [1, 1], kwargs)
    return [*sides, _node('Concat', [leading, f'{name}_sides'], f'{name}_sizes', axis=0),
            _node('Expand', [x, f'{name}_sizes'], name)]


def _resize(node, **kwargs):
    """BilinearResize2D to the height and width of its second input."""
    name, inputs = node['name'], _inputs(node, kwargs)
    attributes = node.get('attrs', {})
    if attributes.get('mode') != 'like' or attributes.get('align_corners', 'True') not in ('True', '1'):
        raise AttributeError('BilinearResize2D other than to the size of another array, with aligned corners')
    x, like = inputs
    return [*_cut(x, f'{name}_leading', 0, 2, kwargs), *_cut(like, f'{name}_sides', 2, 4, kwargs),
            _node('Concat', [f'{name}_leading', f'{name}_sides'], f'{name}_sizes', axis=0),
            _node('Resize', [x, '', '', f'{name}_sizes'], name, mode='linear',
                  coordinate_transformation_mode='align_corners')]


CONVERTERS = {'broadcast_like': _expand, '_contrib_BilinearResize2D': _resize}


def _inputs(node, kwargs):
    return [kwargs['outputs_lookup'][number][output].name for number, output, *_ in node['inputs']]


def _node(operator, inputs, name, **attributes):
    from onnx.helper import make_node
    return make_node(operator, inputs, [name], name=name, **attributes)


def _numbers(name, values, kwargs):
    """The name of a constant."""
    from onnx.helper import TensorProto, make_tensor
    kwargs['initializer'].append(make_tensor(name, TensorProto.INT64, [len(values)], values))
    return name


def _cut(x, name, start, end, kwargs):
    """The nodes whose last, ``name``, is the shape of ``x`` from one axis to before another."""
    limits = [_numbers(f'{name}_{which}', [axis], kwargs) for which, axis in (('start', start), ('end', end))]
    return [_node('Shape', [x], f'{name}_shape'), _node('Slice', [f'{name}_shape', *limits], name)]
