"""What computes logits of pictures: a network, optimized or as it is, or an exported file."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import normalization, with_normalization

from .optimized.optimization import optimize

__all__ = ['exported_engine', 'gluon_engine', 'onnx_engine']


def gluon_engine(network, precision, device, size, batch_size, calibration=None, calibration_mode='naive'):
    """A function from uint8 ``(N, H, W, 3)``, where ``size`` is both or a pair, to logits or maps: on a CPU an
    :class:`.OptimizedNet` in that precision, which takes other sizes too.

    ``calibration`` are the batches that int8 learns its ranges from
    (:func:`resnest.gluon.inference.calibration_images.calibration_batches`), ``calibration_mode`` is how
    (:func:`resnest.gluon.inference.optimize`).
    """
    net = with_normalization(network)
    if device.device_type == 'cpu':
        example = mx.nd.zeros((batch_size, *np.broadcast_to(size, 2).tolist(), 3), dtype='uint8')
        return optimize(net, example, precision, calibration, calibration_mode)
    if precision != 'float32':
        raise InputError(f'--precision {precision} is for CPUs; add --no-cuda')
    net.hybridize(static_alloc=True)
    return net


def onnx_engine(net, spec):
    """The same from an :class:`.OnnxNet`, whose pixels are normalized as ``spec`` says."""
    normalize = normalization(spec.mean, spec.std)
    return lambda images: net(normalize(images))


def exported_engine(net, spec):
    """The same from an :class:`.OptimizedNet` that was read back, whose own normalization is taken where it has one."""
    normalize = normalization(spec.mean, spec.std)
    return net if net.dtype == 'uint8' else lambda images: net(normalize(images))
