"""What an ONNX file holds, looked at before onnxruntime sees it: a network as export_onnx writes it, or not.

onnxruntime trusts its files: one may loop for ever, ask for any memory, read other files, or end the process. So each
operator that export_onnx writes has a row here, and whatever else a file has is refused.
"""
import math
import re

from resnest.errors import InputError
from resnest.reading import one_line, read_bytes
from resnest.runtime import import_extra

__all__ = ['OPSET', 'inspect']

OPSET = 13
LARGEST = (2 << 30) - 1     # bytes of a file; protobuf has no larger ones
MOST_NODES = 50_000
MOST_SPLITS = 64
LONGEST_NAME = 500
MOST = 1 << 16              # of a number in an attribute

ONE, SIDES, WINDOW = (1, 1, 1), (2, 1, 99), {'kernel_shape': (2, 1, 99), 'strides': (2, 1, 99), 'pads': (4, 0, 99)}
# What a name stands for: floats (a weight is an input too), whole numbers of the file, nothing, and what sizes are made
# of: the shape of an array, its batch and channels, its height and width, and all four.
ARRAY, NUMBERS, ABSENT, SHAPE, LEADING, SIDES_OF, SIZES = 'array', 'numbers', '', 'shape', 'leading', 'sides', 'sizes'
AXES = {(0, 2): LEADING, (2, 4): SIDES_OF}
# Operator → (kinds of the inputs, attributes, kind of the outputs, None where it depends on them); an attribute →
# (how many numbers, least, most), or the one text that it has.
OPERATORS = {
    'Conv': ([ARRAY] * 3, {**WINDOW, 'dilations': SIDES, 'group': (1, 1, MOST)}, ARRAY),
    'ConvTranspose': ([ARRAY] * 3, {**WINDOW, 'dilations': SIDES, 'group': (1, 1, MOST),
                                    'output_padding': (2, 0, 1)}, ARRAY),
    'MaxPool': ([ARRAY], {**WINDOW, 'ceil_mode': (1, 0, 1)}, ARRAY),
    'AveragePool': ([ARRAY], {**WINDOW, 'ceil_mode': (1, 0, 1), 'count_include_pad': (1, 0, 1)}, ARRAY),
    'Gemm': ([ARRAY] * 3, {'alpha': ONE, 'beta': ONE, 'transA': (1, 0, 0), 'transB': ONE}, ARRAY),
    'Split': ([ARRAY], {'axis': ONE}, ARRAY),
    'Softmax': ([ARRAY], {'axis': (1, 2, 2)}, ARRAY),
    'Transpose': ([ARRAY], {'perm': (4, 0, 3)}, ARRAY),
    'Reshape': ([ARRAY, NUMBERS], {}, ARRAY),
    **dict.fromkeys(('Add', 'Sub', 'Mul', 'Div'), ([ARRAY] * 2, {}, ARRAY)),
    **dict.fromkeys(('Relu', 'Sigmoid', 'GlobalAveragePool', 'Flatten'), ([ARRAY], {}, ARRAY)),
    'Shape': ([ARRAY], {}, SHAPE),
    'Slice': ([SHAPE, NUMBERS, NUMBERS], {}, None),
    'Concat': (None, {'axis': (1, 0, 1)}, None),
    'Expand': ([ARRAY, SIZES], {}, ARRAY),
    'Resize': ([ARRAY, ABSENT, ABSENT, SIZES],
               {'mode': 'linear', 'coordinate_transformation_mode': 'align_corners'}, ARRAY),
}

OPTIONAL = {'ceil_mode', 'count_include_pad'}


def inspect(path):
    """``(bytes, name of the input, channels, classes, maps)`` of a file; raises InputError, that names it, for others.

    ``maps`` is 1 if it has logits for each pixel, 4 if a pixel of its maps is of 4 × 4 of the image, and so on; else 0.
    The bytes are what was looked at: whoever opens the file again may find another.
    """
    onnx = import_extra('onnx')
    data = read_bytes(path, LARGEST)
    model = onnx.ModelProto()
    try:
        try:
            model.ParseFromString(data)
        except Exception as error:      # protobuf's, of whatever implementation
            raise _Other(f'no ONNX file, or a truncated one ({one_line(error, 60)})') from None
        # What this version of ONNX does not know, onnxruntime's may.
        model.DiscardUnknownFields()
        if model.ByteSize() != len(data):
            raise _Other('it has more than ONNX knows')
        return data, *_Inspection(model, onnx).network()
    except _Other as error:
        raise InputError(f'{one_line(path)}: onnxruntime cannot load it: {error}; export it again') from None


class _Other(Exception):
    """What is other than in an exported file."""


class _Inspection:
    def __init__(self, model, onnx):
        self.model, self.graph, self.types = model, model.graph, onnx.TensorProto
        self.kinds = onnx.AttributeProto

    def network(self):
        """Name of the input, channels, classes, and whether it makes maps; raises :class:`_Other`."""
        model, graph = self.model, self.graph
        if [(entry.domain, entry.version) for entry in model.opset_import] != [('', OPSET)]:
            raise _Other(f'it is not of opset {OPSET}')
        if model.training_info or model.functions or graph.sparse_initializer or graph.quantization_annotation \
                or graph.value_info:
            raise _Other('it has functions, sparse arrays or notes')
        if len(graph.input) != 1 or len(graph.output) != 1:
            raise _Other(f'{len(graph.input)} inputs and {len(graph.output)} outputs, not one image and its logits')
        channels = self.sides(graph.input[0], '(N, C, H, W)', (None, int, None, None))[1]
        maps = self.stride(graph.output[0].type.tensor_type.shape.dim)
        classes = self.sides(graph.output[0], '(N, classes, H, W)' if maps else '(N, classes)',
                             (None, int, None, None) if maps else (None, int))[1]
        constants = {weight.name: self.constant(weight) for weight in graph.initializer}
        known = {graph.input[0].name: ARRAY, **{name: ARRAY if values is None else NUMBERS
                                                for name, values in constants.items()}}
        if len(known) != len(graph.initializer) + 1 or ABSENT in known or len(graph.node) > MOST_NODES:
            raise _Other('a name stands there twice')
        known[ABSENT] = ABSENT
        made = len(known)
        for node in graph.node:
            try:
                self.check(node, constants, known)
            except _Other as error:
                raise _Other(f'node {one_line(node.name, 60)} ({one_line(node.op_type, 60)}): {error}') from None
        if graph.output[0].name not in list(known)[made:] or known[graph.output[0].name] != ARRAY:
            raise _Other('no node makes its output')
        return graph.input[0].name, channels, classes, maps

    def stride(self, sides):
        """How many pixels of the image one of the maps is of, by the names of their sides; 0 for no maps."""
        told = [re.fullmatch('[HW](/([1-9][0-9]?))?', side.dim_param) for side in sides[2:]]
        strides = {int(each[2] or 1) if each else 1 for each in told}
        if len(strides) > 1:
            raise _Other('its maps are of another stride along each side')
        return strides.pop() if len(sides) == 4 else 0

    def sides(self, value, what, wanted):
        """The sides of a float array that goes in or out, whose type is ``wanted``: a number or, None, any."""
        kind = value.type.WhichOneof('value')
        tensor = value.type.tensor_type
        sides = [side.dim_value if side.WhichOneof('value') == 'dim_value' else None for side in tensor.shape.dim]
        if kind != 'tensor_type' or tensor.elem_type != self.types.FLOAT or len(sides) != len(wanted) \
                or any((side is None) != (number is None) for side, number in zip(sides, wanted)) \
                or not all(1 <= side <= MOST for side in sides if side is not None):
            raise _Other(f'{one_line(value.name, 60)} is no array {what} of float32 and any size, as images and logits '
                         'are')
        return sides

    def constant(self, weight):
        """A weight: None, or the values of a shape; its values must be there, as many as its sides say."""
        counts = {self.types.FLOAT: (4, weight.float_data), self.types.INT64: (8, weight.int64_data)}
        size, values = counts.get(weight.data_type, (0, ()))
        count = math.prod(weight.dims)
        held = [len(weight.raw_data) == count * size and not values, len(values) == count and not weight.raw_data]
        others = (weight.int32_data, weight.string_data, weight.double_data, weight.uint64_data, weight.external_data,
                  weight.data_location, weight.HasField('segment'))
        if not size or len(weight.dims) not in (1, 2, 4) or min(weight.dims) < 1 or any(others) or not any(held):
            raise _Other(f'the weight {one_line(weight.name, 60)} is damaged')
        if weight.data_type == self.types.FLOAT:
            return None
        return [int.from_bytes(weight.raw_data[at:at + 8], 'little', signed=True) for at in range(0, 8 * count, 8)] \
            if weight.raw_data else list(values)

    def check(self, node, constants, known):
        """A node: an operator of the table, whose inputs are there; its outputs then are, with their kind."""
        wanted, attributes, kind = OPERATORS.get(node.op_type, (None, None, None))
        if attributes is None or node.domain or node.overload:
            raise _Other('no such operator is in what export writes')
        found = {each.name: self.numbers(each) for each in node.attribute}
        for name, numbers in found.items():
            row = attributes.get(name, (0, 0, 0))
            if numbers != row if isinstance(row, str) else \
                    len(numbers) != row[0] or not all(row[1] <= number <= row[2] for number in numbers):
                raise _Other(f'no attribute {one_line(name, 60)} = {one_line(numbers, 60)}')
        if len(found) != len(node.attribute) or not attributes.keys() - OPTIONAL <= found.keys():
            raise _Other('an attribute is missing, or stands there twice')
        if 'kernel_shape' in found:
            kernel, pads, dilations = (found.get(name, (1, 1)) for name in ('kernel_shape', 'pads', 'dilations'))
            if any(2 * pad > wide * (side - 1) for side, pad, wide in zip(kernel * 2, pads, [*dilations] * 2)):
                raise _Other('it pads more than its window needs')
        if not node.input or not known.keys() >= set(node.input):
            raise _Other('its inputs are not there')
        found, values = [known[name] for name in node.input], [constants.get(name) for name in node.input]
        if node.op_type == 'Concat':
            joined = set(found) == {ARRAY} and node.attribute[0].i == 1
            kind = ARRAY if joined else SIZES
            wanted = found if joined or node.attribute[0].i == 0 and values[0] == [1, 1] and found[1:] == [SIDES_OF] \
                else [LEADING, SIDES_OF]
        elif node.op_type == 'Slice':
            kind = AXES.get(tuple(number for each in values[1:] for number in each or ()))
        if node.op_type == 'Conv' and len(found) == 2:      # without a bias
            wanted = wanted[:2]
        if found != wanted or kind is None or node.op_type == 'Reshape' and not self.shape(values[1]):
            raise _Other('it reads no array, or has no shape')
        outputs = set(node.output)
        most = MOST_SPLITS if node.op_type == 'Split' else 1
        if len(outputs) != len(node.output) or outputs & known.keys() or not 1 <= len(outputs) <= most \
                or not all(0 < len(name) < LONGEST_NAME for name in outputs):
            raise _Other('its outputs are others')
        known.update(dict.fromkeys(outputs, kind))

    def numbers(self, attribute):
        """Its numbers, a list, or its text."""
        lists = {self.kinds.INT: [attribute.i], self.kinds.FLOAT: [attribute.f], self.kinds.INTS: list(attribute.ints)}
        if attribute.type == self.kinds.STRING and not attribute.ref_attr_name:
            return attribute.s.decode('ascii', 'replace')
        return lists.get(attribute.type, []) if not attribute.ref_attr_name else []

    @staticmethod
    def shape(sides):
        """Whether these are sides as split attention has them: none that makes an array larger."""
        return len(sides) == 4 and sides[0] == 0 and (
            sides[1:] == [-1, 1, 1] or sides[3] == -1 and all(1 <= side <= MOST for side in sides[1:3]))
