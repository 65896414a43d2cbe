"""Verifying: the exact top-1 and top-5 of a data set, and how the logits of its images may be computed."""
import sys

import mxnet as mx
import numpy as np

from resnest.errors import InputError, SharedError
from resnest.gluon import distributed
from resnest.gluon.data import (
    Evaluation,
    FolderSet,
    Loader,
    RecordSet,
    evaluation_batches,
    normalization,
    preprocessing,
    with_normalization,
)
from resnest.gluon.device import choose_device
from resnest.gluon.inference.calibration_images import calibration_batches, calibration_records
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.gluon.inference.optimized.optimization import optimize
from resnest.gluon.models import SMALLEST_IMAGE, VARIANTS, find_variant, get_model, list_models

from .evaluation import COUNTS, SUMS, evaluate

__all__ = ['OnnxNet', 'crop_of', 'gluon_engine', 'onnx_engine', 'picked_batches', 'result', 'result_line', 'settle',
           'verify']

DEFAULT_MODEL = 'resnest50'
LARGEST_TOLD = 4096     # px of an image, in a file's metadata


def verify(model=None, rec_dir=None, data_dir=None, weights=None, onnx_file=None, precision='float32', calibration=None,
           calibration_images=128, calibration_mode='naive', limit=None, num_classes=None, crop_size=None,
           crop_ratio=None, batch_size=32, workers=2, no_cuda=False, say=None, progress=False):
    """Exact top-1 and top-5, in per cent; under ``horovodrun`` this is one rank, and each takes a share of the images.

    Parameters
    ----------
    model : str
        What the exported file tells, else resnest50, unless given.
    rec_dir, data_dir : path
        One of them: shards, or a folder with a folder for each class.
    weights : path
        A ``.params`` file; the published weights unless given.
    onnx_file : path
        Verify this exported file, by onnxruntime, instead of weights.
    precision : {'float32', 'bfloat16', 'int8'}
    calibration, calibration_images, calibration_mode
        As :func:`resnest.gluon.inference.calibration_images.calibration_records` and :func:`.gluon_engine` have them.
    limit : int
        So many images only, evenly taken from all.
    num_classes, crop_size, crop_ratio
        The data's, and the file's or the model's own, unless given.
    batch_size, workers : int
        Images at a time, and threads that decode them.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling, on the first rank.
    progress : bool
        Whether to show a bar on a terminal.

    Returns a dict on the first rank, with the counts and the settings, and None on others. Raises InputError for data
    and weights that are not there, damaged, or do not fit, and for outputs that are not finite.
    """
    if (rec_dir is None) == (data_dir is None):
        raise InputError('the data to verify are a rec_dir or a data_dir: give one of them')
    if onnx_file and (weights or precision != 'float32'):
        raise InputError('--engine onnxruntime runs what its file holds: leave out --resume and --precision')
    with distributed.joined() as job:
        exported = OnnxNet(onnx_file) if onnx_file else None
        model, size, ratio = settle(model, crop_size, crop_ratio, exported)
        crop = crop_of(model, size, ratio)
        records = FolderSet(data_dir, 'val') if data_dir else RecordSet(rec_dir, 'val')
        if data_dir and records.note and job.rank == 0:
            print(records.note, file=sys.stderr)
        classes = num_classes or len(records.classes or ()) or 1000
        if not (onnx_file or weights) and classes != 1000 and model in list_models(pretrained=True):
            raise InputError(f'the published weights know 1000 classes, not {classes}; give a .params file '
                             f'with --resume')
        device = choose_device(no_cuda or bool(onnx_file), job.local_rank)
        settings = {'model': model, 'engine': 'onnxruntime' if onnx_file else 'gluon', 'precision': precision,
                    'crop_size': size}
        batch_size = min(batch_size, len(records))
        if onnx_file:
            net = onnx_engine(exported, classes)
        else:
            network, images = get_model(model, classes=classes, pretrained=weights or True, ctx=device), None
            if precision != 'float32':
                source, settings['calibration'] = calibration_records(calibration, rec_dir, data_dir,
                                                                      needed=precision == 'int8')
                images = source and calibration_batches(source, crop, calibration_images)
            net = gluon_engine(network, precision, device, size, batch_size, images, calibration_mode)
            if precision != 'float32':
                settings['report'] = net.report
                if say and job.rank == 0:
                    say(net.describe())
        job.agree('number of images', len(records))
        batches = picked_batches(len(records), limit, batch_size, job.rank, job.size)
        found = _evaluate(net, Loader(records, crop, batches, classes, workers), device, job, progress)
        found = result(*found, onnx_file or weights or model, **settings)
        if say and job.rank == 0:
            say(result_line(found))
        job.finish()
        return None if job.rank else found


def _evaluate(net, loader, device, job, progress):
    """``(counts, images per second)`` of all ranks."""
    from tqdm import tqdm
    with tqdm(total=sum(map(len, loader.batches)), unit='image', disable=not progress or job.rank or
              not sys.stderr.isatty()) as bar:
        found = evaluate(net, loader, device, bar.update)
        *totals, rate = job.total([found[name] or 0 for name in (*SUMS, 'images_per_second')], 'all')
    return totals, rate


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
    normalize = normalization(*net.statistics)
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
            'loss': totals[-1] / counts['seen'], **counts, 'images_per_second': rate or None, **settings}


def result_line(found):
    """One line of text."""
    rate = f", {found['images_per_second']:.1f} images/s" if found['images_per_second'] else ''
    return (f"{found['model']}: top-1 {found['top1']:.2f} %  top-5 {found['top5']:.2f} %  loss {found['loss']:.4f}  of "
            f"{found['seen']} images{rate} ({found['engine']}, {found['precision']})")
