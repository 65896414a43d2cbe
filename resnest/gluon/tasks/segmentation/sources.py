"""What scores pictures: a network of weights, in any precision, or an exported file."""
import os

from resnest.errors import InputError
from resnest.gluon.inference.engines import exported_engine, gluon_engine, onnx_engine
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.gluon.inference.optimized.network import load
from resnest.reading import one_line

from .describing import know, know_described
from .making import get_model

__all__ = ['make_engine', 'open_source']

OF_PICTURES = ('crop_size', 'base_size')        # an exported file takes any


def open_source(model=None, weights=None, options=None):
    """``(known, exported)`` of what is asked for: the :class:`.known.Known`, and the network of an exported file.

    ``weights`` are a ``.params`` file, or None for the published ones, and ``exported`` is None then; or an exported
    ``.onnx`` file, or the prefix of an exported optimized network, which take no ``options`` but ``crop_size`` and
    ``base_size``. Raises InputError as :func:`.describing.know`, and for an exported file of another network.
    """
    text = os.path.expanduser(weights) if weights else ''
    if text.lower().endswith('.onnx'):
        exported = OnnxNet(text)
        if not exported.maps:
            raise InputError(f'{one_line(text)}: gives a class for each image, not for each pixel; give the file of a '
                             'segmentation network')
    elif os.path.exists(f'{text}-symbol.json'):
        exported = load(text)
    else:
        return know(model, weights, options), None
    if other := next((name for name in options or () if name not in OF_PICTURES), None):
        raise InputError(f'{one_line(text)}: an exported file tells by itself what network it is of; leave out {other}')
    if exported.description is None:
        raise InputError(f'{one_line(text)}: does not tell what the network is of; export it again')
    known = know_described(text, exported.description, model, options)
    if getattr(exported, 'classes', known.spec.classes) != known.spec.classes:
        raise InputError(f'{known.what} give {exported.classes} logits, and are said to know {known.spec.classes} '
                         'classes; export them again')
    return known, exported


def make_engine(known, exported, precision, device, calibration=None):
    """A function from uint8 ``(N, H, W, 3)`` to logits ``(N, classes, H, W)``, NDArrays, of what :func:`open_source`
    returns: of a network on a CPU an :class:`.OptimizedNet` in that precision, calibrated by the batches
    ``calibration``."""
    if exported is None:
        network = get_model(known.model, known.pretrained, ctx=device, **known.options)
        return gluon_engine(network.prediction, precision, device, known.spec.crop_size, 1,
                            None if precision == 'float32' else calibration)
    if precision != 'float32':
        raise InputError(f'{known.what} are exported, and so in the precision that they have; leave out --precision')
    return (onnx_engine if isinstance(exported, OnnxNet) else exported_engine)(exported, known.spec)
