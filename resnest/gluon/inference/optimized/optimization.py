"""A network made as fast as mxnet's oneDNN runs it on a CPU."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.models.weights.description import describe
from resnest.gluon.nn import native as native_operators
from resnest.reading import not_among, one_line

from ..int8.quantization import quantize
from ..int8.ranges import MODES, first_classes
from ..passes.bfloat16 import to_bfloat16
from ..passes.folding import fold
from ..passes.joining import join_attention
from ..passes.rewriting import pool_early, slice_splits
from ..passes.tracing import in_list, trace
from ..passes.winograd import WINOGRAD, to_winograd
from .exported import last_line
from .network import OptimizedNet
from .precision import require_cpu

__all__ = ['optimize']

AGREEMENT = {False: 0.995, True: 0.98}      # of images, of pixels
BACKEND = 'MKLDNN'      # oneDNN's name in mxnet 1.9


def optimize(net, example, precision='float32', calibration=None, calibration_mode='naive', native=None,
             agreement=None, winograd=True):
    """Make ``net`` ready for fast inference on this machine's CPU; ``net`` itself stays as it is.

    Normalizations are folded into the convolutions, which oneDNN runs together with the ReLU and the sum after them;
    split attention is rewritten (:mod:`..passes.rewriting`); memory is allocated once. In bfloat16 the attention's
    small layers and the classifier stay in float32.

    Parameters
    ----------
    net : HybridBlock
        With its parameters loaded; also one that :func:`resnest.gluon.data.with_normalization` returns, and one whose
        output is a tuple, as :class:`resnest.gluon.models.Features`. Of a segmentation network its ``prediction`` is
        taken.
    example : NDArray
        A batch: float32 ``(N, C, H, W)``, or uint8 ``(N, H, W, C)`` behind the normalization.
    precision : 'float32', 'bfloat16' or 'int8'
    calibration : iterable
        Batches like the example, or pairs (batch, labels). int8 learns its ranges from them; in every precision the
        report says for how many of these images (``top1_agreement``), or for which share of all their pixels
        (``pixel_agreement``), the first class is the one of ``net``, if one of its outputs is ``(N, classes)`` or
        ``(N, classes, H, W)``.
    calibration_mode : 'naive' or 'entropy'
        How int8 finds its ranges.
    agreement : float
        int8 leaves layers in float32 until the first class is that of ``net`` for this share of the calibration images,
        or of their pixels; 0 leaves none, and so does a network without classes. Unless given it is 0.995 for images,
        and 0.98 for pixels: those along the edges of things are of two classes alike, and the least difference turns
        them. Take images that the network was not trained on: it is too sure of the others.
    native : bool
        Whether to use the native operators; by default where they can be loaded.
    winograd : bool or tuple
        Whether float32, unless ``native`` is False, computes 3×3 convolutions by Winograd's algorithm where that takes
        less time; rounding is some ten times as large (:mod:`..passes.winograd`). Which ones, ``winograd_layers`` of
        the report, the example's shape decides, or a shape that is given here.

    Returns an :class:`OptimizedNet`. The ``largest_difference`` of its report is that of a value of the output from
    the one of ``net``, relative to the largest value; of a tuple it is a list. Raises InputError for a precision that
    is unknown or that this CPU lacks, for an example that does not suit the network, for outputs that are not finite,
    for a calibration that is empty or does not suit it, and where the native operators are asked for and not there.
    """
    require_cpu(precision)
    if calibration_mode not in MODES:
        raise InputError(f'calibration mode {not_among(calibration_mode, MODES)}')
    if not hasattr(net, 'collect_params'):
        raise InputError(f'the network must be a HybridBlock, got {one_line(repr(net), 60)}')
    net = getattr(net, 'prediction', net)
    wanted, several = _outputs(net, example)
    if not all(np.isfinite(each).all() for each in wanted):       # int8 would turn them into numbers
        raise InputError("the network's output is not finite in float32; these weights are of no use")
    batches = None if calibration is None else _batches(calibration, example)
    winograd = precision == 'float32' and native is not False and winograd
    native = _native(native, precision, net)
    symbol, args, aux = fold(*trace(net, np.dtype(example.dtype).name, native))
    report = {}
    if not (native and precision == 'int8'):    # which puts one operator in the place of all that
        symbol = slice_splits(pool_early(join_attention(symbol)))
    if precision == 'int8':
        if agreement is None:
            classes = first_classes(wanted, example)
            agreement = AGREEMENT[classes is not None and classes.ndim == 3]
        symbol, args, aux, report = quantize(symbol, args, aux, batches, calibration_mode, native, agreement)
    else:
        if winograd and native_operators.load(name=WINOGRAD):
            symbol, args, report['winograd_layers'] = to_winograd(symbol, args,
                                                                  example.shape if winograd is True else winograd)
        if precision == 'bfloat16':
            symbol, args, report['in_float32'] = to_bfloat16(symbol, args)
        symbol = symbol.get_backend_symbol(BACKEND)
    native = bool(native_operators.needed(symbol.tojson()))
    report['native_operators'] = native
    made = OptimizedNet(symbol, args, aux, precision, example.shape, example.dtype, native, report, describe(net),
                        several)
    differences = [_difference(*pair) for pair in zip(_outputs(made, example)[0], wanted)]
    made.report['largest_difference'] = differences if several else differences[0]
    if batches and first_classes(wanted, example) is not None:
        made.report.update(_agreement(net, made, batches))
    return made


def _native(wanted, precision, net):
    """Whether to use the native operators."""
    names = native_operators.libraries(net)
    if 'split_attention' in names:
        names.append('split_attention_int8' if precision == 'int8' else 'split_attention_float')
    if wanted is None:
        wanted = all(native_operators.load(name=name) for name in names)
    elif wanted and not all(native_operators.load(name=name) for name in names):
        raise InputError('the native operators are not there: python -m resnest.gluon.nn.native builds them')
    return bool(wanted and names)


def _agreement(net, made, batches):
    """On how many images of ``batches``, or of their pixels, both have the same first class, for the report."""
    pairs = [[first_classes(_outputs(each, batch)[0], batch) for each in (made, net)] for batch in batches]
    images, total = (sum(size(found) for found, _ in pairs) for size in (len, np.size))
    same = sum(int((found == wanted).sum()) for found, wanted in pairs)
    if total > images:      # a map of classes
        made.report.pop('top1_agreement', None)
        return {'calibration_images': images, 'pixel_agreement': same / total}
    return {'calibration_images': total, 'same_top1': same, 'top1_agreement': same / total}


def _outputs(net, x):
    """The outputs of a network as it is, a list, NumPy, and whether it makes a tuple of them."""
    if not isinstance(x, mx.nd.NDArray):
        raise InputError(f'the example must be an NDArray, got {type(x).__name__}')
    try:
        with mx.autograd.pause():
            found = net(x)
            return [each.asnumpy() for each in in_list(found)], isinstance(found, (tuple, list))
    except InputError:
        raise
    except (mx.MXNetError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError(f'the network cannot take the example {x.shape} of {np.dtype(x.dtype).name}: '
                         f'{last_line(error)}') from error


def _difference(found, wanted):
    """Largest difference of a value, relative to the largest value."""
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), np.finfo(np.float32).tiny))


def _batches(calibration, example):
    """The images of ``calibration`` as a list of batches like ``example``."""
    batches = []
    for number, item in enumerate(calibration):
        images = item[0] if isinstance(item, (tuple, list)) else item
        shape = tuple(getattr(images, 'shape', ()))
        if shape[1:] != example.shape[1:]:
            raise InputError(f'calibration batch {number} has images of {shape[1:]}, '
                             f'the example of {example.shape[1:]}')
        if shape[0]:
            batches.append(mx.nd.array(images, dtype=example.dtype))
    if not batches:
        raise InputError('the calibration set is empty')
    return batches
