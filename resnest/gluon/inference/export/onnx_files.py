"""ONNX: a network written as a file that onnxruntime is known to run with the same logits, and such a file run.

The file takes what the network takes: ``data``, float32 RGB ``(N, 3, H, W)``, divided by 255, less the network's mean
and divided by its standard deviation (both are in the file's metadata, and so are the names of the classes). It gives
``logits`` ``(N, classes)``, and a segmentation network's ``(N, classes, H, W)``; a pose network's are heat maps, whose
sides are parts of the image's, as their names tell: ``H/4``, ``W/4``.
"""
import json

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import replacing
from resnest.gluon.data import preprocessing, statistics
from resnest.gluon.models.weights.description import METADATA, describe, from_text, to_text
from resnest.gluon.mxnet_private import onnx_converters, onnx_graph_maker
from resnest.reading import one_line
from resnest.runtime import import_extra, set_threads

from ..passes.folding import fold
from ..passes.tracing import trace
from .converters import CONVERTERS
from .inspection import OPSET, inspect

__all__ = ['OPSET', 'OnnxNet', 'export_onnx']

IR_VERSION = 7      # the oldest with this opset: older runtimes read the file too


def export_onnx(net, path, size=224, tolerance=1e-4):
    """Write ``net`` to ``path`` as ONNX, opset 13, normalizations folded, with free batch, height and width.

    Before the file bears its name, onnx's checker has passed it, and onnxruntime has computed the logits of ``net`` for
    batches of 1 and 3 at ``size`` px, and for a batch of 2 at another height.

    Parameters
    ----------
    net : ResNet, SegmentationNet or PoseNet
        With its parameters loaded, float32, on the CPU. Of a segmentation network its ``prediction`` is written.
    path : str or Path
    size : int
        Image side in pixels.
    tolerance : float
        Largest difference of a logit, relative to the largest logit.

    Returns the largest relative difference that was seen. Raises InputError where it is above ``tolerance`` and for a
    network that ONNX cannot express, MissingPackage without onnx or onnxruntime.
    """
    net = getattr(net, 'prediction', net)
    if getattr(net, 'fc', None) is None and not hasattr(net, 'classifiers'):
        raise InputError(f'{path}: not written: the network has no classifier; resnest.gluon.inference.optimize takes '
                         'it, and its export writes files for mxnet')
    onnx = import_extra('onnx')
    import_extra('onnxruntime')
    model = _convert(net, path, size, onnx)
    with replacing(path) as part:
        part.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(part), full_check=True)
        exported, rng = OnnxNet(part), np.random.default_rng(0)
        difference = 0.0
        for count, height in ((1, size), (3, size), (2, size + 32)):
            x = mx.nd.array(rng.normal(size=(count, net.in_channels, height, size)))
            wanted, found = net(x).asnumpy(), exported(x).asnumpy()
            difference = max(difference, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
            if not difference <= tolerance:     # NaN too
                raise InputError(f"{path}: not written: onnxruntime's logits differ by {difference:.1e} of the largest "
                                 f'(batch {count}, {height} x {size} px), more than {tolerance:.0e}')
    return difference


def _convert(net, path, size, onnx):
    """The ModelProto."""
    symbol, args, aux = fold(*trace(net, whole=True))
    _, (shape,), _ = symbol.infer_shape(data=(1, net.in_channels, size, size))
    try:
        with onnx_converters(CONVERTERS, OPSET):
            graph = onnx_graph_maker().create_onnx_graph_proto(
                symbol, {**args, **aux}, [(1, net.in_channels, size, size)], [onnx.TensorProto.FLOAT],
                opset_version=OPSET, dynamic=True, dynamic_input_shapes=[('N', net.in_channels, 'H', 'W')])
    except AttributeError as error:     # an operator without a converter
        raise InputError(f'{path}: this network cannot be written as ONNX: {error}') from None
    stride = size // shape[-1] if len(shape) == 4 else 1
    sides = ['H', 'W'] if stride == 1 else [f'H/{stride}', f'W/{stride}']
    _tidy(graph, ['N', shape[1], *sides][:len(shape)], onnx)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', OPSET)], ir_version=IR_VERSION,
                                   producer_name='resnest')
    mean, std = statistics(net)
    told = {'model': net.spec.name, 'mean': str(mean), 'std': str(std), 'layout': 'RGB, NCHW'}
    if hasattr(net.spec, 'crop_ratio'):
        _, ratio, interpolation = preprocessing(net.spec, size)
        told.update({'image_size': str(size), 'interpolation': interpolation, 'crop_ratio': str(ratio)})
    if description := describe_at(net, size):
        told.update({name: json.dumps(value, ensure_ascii=False) for name, value in
                     (('names', description.names), ('words', description.words)) if value})
        told[METADATA] = to_text(description)
    onnx.helper.set_model_props(model, told)
    return model


def describe_at(net, size):
    """What the weights of ``net`` are of, for images of ``size`` px where it takes the middle of images."""
    if not hasattr(net.spec, 'crop_ratio'):
        return describe(net)
    _, _, interpolation = preprocessing(net.spec, size)
    return describe(net, crop_size=size, interpolation=interpolation)


def _tidy(graph, sides, onnx):
    """Weights out of the inputs, what nothing reads out of the weights, the output named."""
    weights = {weight.name for weight in graph.initializer}
    read = {name for node in graph.node for name in node.input}
    for field, wanted in ((graph.input, lambda item: item.name not in weights),
                          (graph.initializer, lambda item: item.name in read)):
        kept = [item for item in field if wanted(item)]
        del field[:]
        field.extend(kept)
    last, = graph.output
    for node in graph.node:
        node.output[:] = ['logits' if name == last.name else name for name in node.output]
    last.CopyFrom(onnx.helper.make_tensor_value_info('logits', onnx.TensorProto.FLOAT, sides))


class OnnxNet:
    """An exported file, run by onnxruntime with as many threads as mxnet has: float32 ``(N, C, H, W)`` to logits.

    ``path``, ``channels``, ``classes``
        The file, the channels of its images, and how many logits it gives.
    ``maps``
        0 where it gives ``(N, classes)``; else how many pixels of the image one of its maps is of, along each side: 1
        for ``(N, classes, H, W)``.

    Raises InputError for a file that is missing, damaged, or no network as :func:`export_onnx` writes it.
    """

    def __init__(self, path):
        runtime = import_extra('onnxruntime')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = set_threads()
        options.log_severity_level = 4     # what fails is raised
        self.path = path
        data, self._input, self.channels, self.classes, self.maps = inspect(path)
        try:
            self._session = runtime.InferenceSession(data, options, providers=['CPUExecutionProvider'])
        except Exception as error:      # onnxruntime's errors have no base of their own
            raise InputError(f'{path}: onnxruntime cannot load it: {_first_line(error)}; export it again') from None

    def __repr__(self):
        return f"OnnxNet('{one_line(self.path)}', channels={self.channels}, classes={self.classes})"

    @property
    def metadata(self):
        """What export_onnx wrote beside the weights: a dict of strings."""
        return self._session.get_modelmeta().custom_metadata_map

    @property
    def description(self):
        """The same as a :class:`resnest.gluon.models.weights.description.Description`; None for files of earlier
        versions. Raises InputError for a damaged one."""
        text = self.metadata.get(METADATA)
        return text and from_text(text, f'{self.path} (metadata)')

    def __call__(self, x):
        """Logits of an NDArray, an NDArray."""
        return mx.nd.from_numpy(self.run(x.asnumpy()), zero_copy=False)

    def run(self, x):
        """The same in NumPy. Raises InputError for images that do not suit, and for what are no logits of theirs."""
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[1] != self.channels or 0 in x.shape:
            raise InputError(f'{self.path}: cannot run it on {x.shape} of {x.dtype}: it takes float32 '
                             f'(N, {self.channels}, H, W)')
        try:
            logits, = self._session.run(None, {self._input: x})
        except Exception as error:
            raise InputError(f'{self.path}: onnxruntime cannot run it on {x.shape}: {_first_line(error)}') from None
        wanted = (len(x), self.classes, *(side // self.maps for side in x.shape[2:] if self.maps))
        if logits.dtype != np.float32 or logits.shape != wanted:
            raise InputError(f'{self.path}: it gives {logits.shape} of {logits.dtype} for {len(x)} images, not their '
                             f'logits; export it again')
        return logits


def _first_line(error):
    return one_line(str(error).strip().partition('\n')[0])
