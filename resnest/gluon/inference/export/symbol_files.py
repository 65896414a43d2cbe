"""A network as mxnet's symbol and parameter files, read back and compared before it counts as done."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import require_undescribing
from resnest.gluon.data import normalization, statistics

from ..optimized.network import load
from ..optimized.optimization import optimize
from ..passes.tracing import in_list
from .onnx_files import describe_at

__all__ = ['export_symbol']


def export_symbol(net, prefix, size=224, precision='float32', calibration=None, native=None,
                  calibration_mode='naive', winograd=True):
    """Optimize ``net`` and write ``prefix-symbol.json``, ``prefix-0000.params`` and ``prefix.json``.

    The files take normalized float32 ``(N, 3, H, W)``, as the network does.

    Parameters
    ----------
    net : ResNet, Features, SegmentationNet or PoseNet
        With its parameters loaded, on the CPU. Of a segmentation network its ``prediction`` is written.
    prefix : str or Path
    size : int
        Image side in pixels.
    precision, native, calibration_mode, winograd
        See :func:`resnest.gluon.inference.optimize`.
    calibration : iterable of (uint8 ``(n, size, size, 3)``, labels)

    Returns the :class:`.OptimizedNet`. Raises InputError where the files, read back, give other logits, and where
    ``prefix.json`` describes weights; what was there before stays then.
    """
    net = getattr(net, 'prediction', net)
    require_undescribing(f'{prefix}.json', 'what is exported')
    normalize = normalization(*statistics(net))
    batches = calibration and [normalize(mx.nd.array(images, dtype='uint8')) for images, _ in calibration]
    example = mx.nd.array(np.random.default_rng(0).normal(size=(2, net.in_channels, size, size)))
    made = optimize(net, example, precision, batches, calibration_mode, native, winograd=winograd)
    made.description = describe_at(net, size)

    def check(new):
        pairs = zip(in_list(load(new)(example)), in_list(made(example)))
        if not all(np.array_equal(found.asnumpy(), wanted.asnumpy()) for found, wanted in pairs):
            raise InputError(f'{prefix}: the exported files give other logits than the network; export it again')

    made.export(prefix, check)
    return made
