"""What verify.py is made of: the images to take, the ways to compute their logits, the result."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError, SharedError
from resnest.gluon.data import Evaluation, evaluation_batches, normalization, preprocessing, with_normalization
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.gluon.inference.optimized.optimization import optimize
from resnest.gluon.models import SMALLEST_IMAGE, VARIANTS, find_variant

from .evaluation import COUNTS

__all__ = ['OnnxNet', 'crop_of', 'gluon_engine', 'onnx_engine', 'picked_batches', 'result', 'result_line', 'settle']

DEFAULT_MODEL = 'resnest50'
LARGEST_TOLD = 4096     # px of an image, in a file's metadata


def settle(model=None, size=None, ratio=None, exported=None):
    """``(model, crop size, crop ratio)``: what is given, else what the file tells, else the model's own, resnest50's.

    ``exported`` is an :class:`.OnnxNet`, or None. What its metadata lack, or what is no number or no model there, it
    does not tell. Raises InputError for an unknown model and for a size below what a network takes.
    """
    told = exported.metadata if exported else {}
    if model is None:
        model = told.get('model') if told.get('model') in VARIANTS else DEFAULT_MODEL
    spec = find_variant(model)
    if size is None:
        size = _number(told.get('image_size'), int, LARGEST_TOLD) or spec.crop_size
    if size < SMALLEST_IMAGE:
        raise InputError(f'--crop-size must be at least {SMALLEST_IMAGE}, got {size}')
    if ratio is None:
        ratio = _number(told.get('crop_ratio'), float, 1) or spec.crop_ratio
    return model, size, ratio


def crop_of(model, size, ratio):
    """The :class:`.Evaluation` transform of a model, as :func:`settle` found size and ratio."""
    return Evaluation(*preprocessing(find_variant(model), size, ratio))


def _number(text, kind, most):
    """None where the text, or None, is no number above 0 and up to ``most``."""
    try:
        return kind(text) if 0 < kind(text) <= most else None
    except (TypeError, ValueError):
        return None


def picked_batches(count, limit, batch_size, rank=0, ranks=1):
    """This rank's batches of indices: of all ``count`` images, or of ``limit`` of them, evenly spread over all.

    Over the ranks each picked image comes exactly once. Raises InputError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f'--limit must be at least 1, got {limit}')
    limit = min(limit or count, count)
    picked = np.arange(limit) * count // limit
    return [picked[batch] for batch in evaluation_batches(limit, batch_size, rank, ranks)]


def gluon_engine(network, precision, device, size, batch_size, calibration=None, calibration_mode='naive'):
    """A function from uint8 ``(N, size, size, 3)`` to logits: on a CPU an :class:`.OptimizedNet` in that precision.

    ``calibration`` are the batches that int8 learns its ranges from
    (:func:`resnest.gluon.inference.calibration_images.calibration_batches`), ``calibration_mode`` is how
    (:func:`resnest.gluon.inference.optimize`).
    """
    net = with_normalization(network)
    if device.device_type == 'cpu':
        example = mx.nd.zeros((batch_size, size, size, 3), dtype='uint8')
        return optimize(net, example, precision, calibration, calibration_mode)
    if precision != 'float32':
        raise InputError(f'--precision {precision} is for CPUs; add --no-cuda')
    net.hybridize(static_alloc=True)
    return net


def onnx_engine(net, classes):
    """The same from an :class:`.OnnxNet`. Raises InputError for a file of other classes."""
    normalize = normalization()
    if net.classes != classes:
        raise InputError(f'{net.path}: it knows {net.classes} classes, the data have {classes}; export the right '
                         'weights, or use --num-classes')
    return lambda images: net(normalize(images))


def result(totals, rate, what, **settings):
    """The figures of all ranks' counts, as one dict; raises InputError where logits were not finite."""
    counts = dict(zip(COUNTS, map(int, totals)))
    if counts['nonfinite']:
        raise SharedError(f"{what}: the network's output is not finite for {counts['nonfinite']} of {counts['seen']} "
                          f'images; these weights are of no use')
    return {'top1': 100 * counts['correct1'] / counts['seen'], 'top5': 100 * counts['correct5'] / counts['seen'],
            **counts, 'images_per_second': rate or None, **settings}


def result_line(found):
    """One line of text."""
    rate = f", {found['images_per_second']:.1f} images/s" if found['images_per_second'] else ''
    return (f"{found['model']}: top-1 {found['top1']:.2f} %  top-5 {found['top5']:.2f} %  of {found['seen']} images"
            f"{rate} ({found['engine']}, {found['precision']})")
