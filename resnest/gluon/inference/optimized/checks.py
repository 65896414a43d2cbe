"""What the operators of optimized networks share: the kinds of arrays, patterns of attributes, and their checks."""
import re
from dataclasses import dataclass, field
from typing import Callable

__all__ = ['BFLOAT16', 'COLUMN', 'COUNT', 'FLOAT32', 'INT8', 'LAST', 'LIMITS', 'NUMBER', 'PADDING', 'PAIR', 'POSITIONS',
           'RANGE', 'ROW', 'SHARES', 'UINT8', 'WINDOW', 'YES_OR_NO', 'Operator', 'alike', 'check_attributes',
           'check_limits', 'check_parameters', 'check_ranges', 'either', 'plain', 'takes']

# What an entry of the graph holds; RANGE is the lower or upper end of an INT8 array, a number.
UINT8, FLOAT32, BFLOAT16, INT8, RANGE = 'uint8', 'float32', 'bfloat16', 'int8', 'range'
# And what resizing is made of, which nothing else may read: the numbers 0, 1, … of the rows or columns of a map, the
# last of them, both sides of the matrix of shares, and the matrix.
POSITIONS, LAST, COLUMN, ROW, SHARES = 'positions', 'last', 'column', 'row', 'shares'
COUNT, YES_OR_NO = r'[1-9]\d{0,5}', r'[Tt]rue|[Ff]alse'
NUMBER = r'-?\d{1,9}(\.\d{1,30})?(e-?\d\d)?'
PAIR, PADDING = r'\([1-9]\d?, ?[1-9]\d?\)', r'\(\d\d?, ?\d\d?\)'
WINDOW = {'kernel': PAIR, 'stride': PAIR, 'pad': PADDING, 'layout': 'NCHW'}
LIMITS = {'min_calib_range': NUMBER, 'max_calib_range': NUMBER}


@dataclass(frozen=True)
class Operator:
    """A row: the attributes as patterns, those that must be there, and from inputs to outputs, as kinds.

    ``kinds(node, found)`` returns the kinds of the outputs of a node whose inputs have the kinds ``found``; it raises
    ValueError for others.
    """
    kinds: Callable
    attributes: dict = field(default_factory=dict)
    needed: tuple = ()
    fused: bool = False


def check_attributes(attrs, row):
    """The attributes must be those of a row of the table, and a window may pad no more than it needs."""
    for name, value in attrs.items():
        if name not in row.attributes or not isinstance(value, str) or len(value) > 200 \
                or not re.fullmatch(row.attributes[name], value):
            raise ValueError(f'no attribute {name} = {value}')
    for name in row.needed:
        if name not in attrs:
            raise ValueError(f'the attribute {name} is missing')
    if 'kernel' in attrs and attrs.get('global_pool') not in ('True', 'true'):
        sizes = {name: [int(side) for side in re.findall(r'\d+', attrs.get(name, default))]
                 for name, default in (('kernel', ''), ('pad', '(0, 0)'), ('dilate', '(1, 1)'))}
        if any(2 * pad > dilate * (kernel - 1) for kernel, pad, dilate in zip(*sizes.values())):
            raise ValueError('it pads more than its window needs')


def takes(*wanted):
    """The kinds of the inputs must be these."""
    def check(found):
        if tuple(found) != wanted:
            raise ValueError(f'it reads {", ".join(found) or "nothing"} in the place of {", ".join(wanted)}')
    return check


def plain(*wanted, makes=(FLOAT32,)):
    """Inputs of these kinds, and what is made of them."""
    check = takes(*wanted)

    def kinds(node, found):
        check(found)
        return makes
    return kinds


def either(*signatures):
    """One of several signatures: pairs of the inputs' kinds, a tuple, and of the one kind that is made of them."""
    def kinds(node, found):
        for wanted, made in signatures[:-1]:
            if tuple(found) == wanted:
                return (made,)
        wanted, made = signatures[-1]
        takes(*wanted)(found)
        return (made,)
    return kinds


def alike(count):
    """``count`` arrays of one of the two float types, and one of it made; the second and third of three are layers'."""
    def kinds(node, found):
        takes(*[BFLOAT16 if BFLOAT16 in found[:1] else FLOAT32] * count)(found)
        return found[:1]
    return kinds


def check_ranges(node, *places):
    """Each int8 array must come with its own range, from one node."""
    for place in places:
        sources = [node.inputs[each] for each in place]
        if [(id(child), output) for child, output in sources] != [(id(sources[0][0]), output) for output in range(3)]:
            raise ValueError('it reads an int8 array with the range of another')


def check_limits(node):
    """A node's range must hold zero."""
    low, high = (node.attrs.get(name) for name in LIMITS)
    if low is None or high is None or not float(low) <= 0 <= float(high):
        raise ValueError(f'no range is from {low} to {high}')


def check_parameters(node, first, last):
    """These inputs must be parameters."""
    if not all(child.is_parameter for child, _ in node.inputs[first:last]):
        raise ValueError('its weights are no parameters')
