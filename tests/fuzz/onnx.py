"""ONNX files: damaged bytes, other inputs and outputs, types, sequences, operators, attributes, weights."""
import tempfile
from pathlib import Path

import onnx

from resnest.gluon.inference.export.onnx_files import OnnxNet, export_onnx
from resnest.gluon.models import ResNet, VariantSpec

from ..conftest import randomize
from .mutations import damaged_bytes, hostile_file

NUMBERS = [0, -1, 1, 2, 3, 99, 65536, 2 ** 31, 2 ** 62, -2 ** 63]
OPERATORS = ['Loop', 'If', 'Scan', 'ConstantOfShape', 'Tile', 'Expand', 'Resize', 'RandomNormal', 'SequenceConstruct',
             'Identity', 'Cast', 'Range', 'NonZero', 'Conv', 'Add', 'Gemm', 'Reshape', 'Split', 'nonsense', '']


def samples():
    """Small files, as bytes."""
    made = []
    for radix, cardinality in ((2, 1), (1, 2)):
        spec = VariantSpec('tiny', (1, 1, 1, 1), radix=radix, cardinality=cardinality, bottleneck_width=4, stem_width=4)
        with tempfile.TemporaryDirectory() as folder:
            export_onnx(randomize(ResNet(spec, classes=3)), Path(folder, 'x'), 32)
            made.append(Path(folder, 'x').read_bytes())
    return made


SAMPLES = samples()


def case(rng, folder):
    data = SAMPLES[rng.integers(len(SAMPLES))]
    data = damaged_bytes(rng, data) if rng.random() < 0.3 else other_model(rng, data)
    path = folder / 'x.onnx'
    path.write_bytes(data)
    if rng.random() < 0.02:
        path.unlink()
        hostile_file(rng, path)
    net = OnnxNet(path)
    logits = net.run(rng.normal(size=(2, 3, 32, 32)).astype('float32'))
    assert logits.shape == (2, net.classes)
    assert isinstance(net.metadata, dict)


def other_model(rng, data):
    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    for _ in range(rng.integers(1, 4)):
        node = graph.node[rng.integers(len(graph.node))]
        weight = graph.initializer[rng.integers(len(graph.initializer))]
        number = NUMBERS[rng.integers(len(NUMBERS))]
        names = [name for each in graph.node for name in (*each.input, *each.output)]
        name = str(rng.choice([*names, 'x', '', 'data', 'logits']))
        kind = rng.integers(20)
        if kind == 0:
            node.op_type = str(rng.choice(OPERATORS))
        elif kind == 1 and node.input:
            node.input[rng.integers(len(node.input))] = name
        elif kind == 2 and node.output:
            node.output[rng.integers(len(node.output))] = name
        elif kind in (3, 4, 5) and node.attribute:
            attribute = node.attribute[rng.integers(len(node.attribute))]
            if attribute.ints:
                attribute.ints[rng.integers(len(attribute.ints))] = number
            else:
                attribute.i = number
        elif kind == 6 and node.attribute:
            attribute = node.attribute[rng.integers(len(node.attribute))]
            if rng.random() < 0.5:
                attribute.type = int(rng.integers(14))
            else:
                node.attribute.remove(attribute)
        elif kind == 7:
            node.attribute.extend(graph.node[rng.integers(len(graph.node))].attribute)
        elif kind in (8, 9):
            other_value(rng, graph.input if kind == 8 else graph.output, number)
        elif kind == 10:
            weight.dims[rng.integers(len(weight.dims))] = number
        elif kind == 11:
            weight.dims[:] = weight.dims[::-1]
        elif kind == 12:
            weight.data_type = int(rng.integers(24))
        elif kind == 13:
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(key='location', value=str(rng.choice(['/etc/passwd', '../x', 'x.onnx'])))
        elif kind == 14:
            graph.initializer.remove(weight)
        elif kind == 15:
            graph.node.remove(node)
        elif kind == 16:
            graph.node.add().CopyFrom(node)
        elif kind == 17 and weight.int64_data:
            weight.int64_data[rng.integers(len(weight.int64_data))] = number
        elif kind == 18:
            model.opset_import[0].version = int(rng.integers(1, 25))
        else:
            shapes = [each for each in graph.initializer if each.int64_data]
            if shapes:
                shapes[0].int64_data[rng.integers(4)] = number
    return model.SerializeToString()


def other_value(rng, values, number):
    """Another input or output: one more, none, another type, other sides, a sequence."""
    kind, value = rng.integers(6), values[0] if values else values.add()
    if kind == 0:
        values.add().CopyFrom(value)
        values[-1].name = str(rng.choice(['y', value.name]))
    elif kind == 1:
        del values[:]
    elif kind == 2:
        value.type.tensor_type.elem_type = int(rng.integers(24))
    elif kind == 3 and value.type.tensor_type.shape.dim:
        sides = value.type.tensor_type.shape.dim
        sides[rng.integers(len(sides))].dim_value = number
    elif kind == 4 and value.type.tensor_type.shape.dim:
        del value.type.tensor_type.shape.dim[rng.integers(len(value.type.tensor_type.shape.dim)):]
    else:
        inner = onnx.TypeProto.FromString(value.type.SerializeToString())
        value.type.Clear()
        value.type.sequence_type.elem_type.CopyFrom(inner)
