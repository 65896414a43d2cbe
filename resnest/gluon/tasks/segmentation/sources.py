"""What scores pictures: a network of weights, in any precision, or an exported file."""
from resnest.gluon.inference import sources
from resnest.gluon.inference.engines import gluon_engine

from .describing import TABLE, know, know_described
from .making import get_model

__all__ = ['make_engine', 'open_source']

OF_PICTURES = ('crop_size', 'base_size')        # an exported file takes any


def open_source(model=None, weights=None, options=None):
    """As :func:`resnest.gluon.inference.sources.open_source`; an exported file takes no ``options`` but ``crop_size``
    and ``base_size``."""
    return sources.open_source(TABLE, know, know_described, model, weights, options, OF_PICTURES)


def make_engine(known, exported, precision, device, calibration=None):
    """A function from uint8 ``(N, H, W, 3)`` to logits ``(N, classes, H, W)``, NDArrays, of what :func:`open_source`
    returns: of a network on a CPU an :class:`.OptimizedNet` in that precision, calibrated by the batches
    ``calibration``."""
    if exported is not None:
        return sources.engine_of_exported(known, exported, precision)
    network = get_model(known.model, known.pretrained, ctx=device, **known.options)
    return gluon_engine(network.prediction, precision, device, known.spec.crop_size, 1,
                        None if precision == 'float32' else calibration)
