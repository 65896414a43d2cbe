"""Verifying: the exact top-1 and top-5 of a data set, and how the logits of its images may be computed."""
import sys
from pathlib import Path

import numpy as np

from resnest.errors import InputError, SharedError
from resnest.gluon import distributed
from resnest.gluon.data import (
    FolderSet,
    Loader,
    RecordSet,
    evaluation_batches,
)
from resnest.gluon.data.images.holding_out import is_same_folder
from resnest.gluon.data.loader import REMEDY
from resnest.gluon.data.shards.manifest import manifest_held_out, read_manifest
from resnest.gluon.device import choose_device
from resnest.gluon.inference.calibration_images import calibration_batches, calibration_records
from resnest.gluon.inference.engines import gluon_engine, onnx_engine
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.gluon.models.weights.description import is_held_out

from .evaluation import COUNTS, SUMS, evaluate
from .matching import match
from .mistakes import Mistakes, class_table, require_confusion, worst_classes, write_confusion
from .names import class_names, readable_names
from .settling import settle

__all__ = ['OnnxNet', 'gluon_engine', 'onnx_engine', 'picked_batches', 'result', 'result_line', 'verify']


def verify(model=None, rec_dir=None, data_dir=None, weights=None, onnx_file=None, precision='float32', calibration=None,
           calibration_images=128, calibration_mode='naive', limit=None, num_classes=None, crop_size=None,
           crop_ratio=None, batch_size=32, workers=2, no_cuda=False, say=None, progress=False, model_options=None,
           confusion=None):
    """Exact top-1 and top-5, in per cent; under ``horovodrun`` this is one rank, and each takes a share of the images.

    Parameters
    ----------
    model : str
        What the weights or the exported file tell, else resnest50, unless given.
    rec_dir, data_dir : path
        One of them: shards, or a folder with a folder for each class. The classes are found by name
        (:func:`.matching.match`).
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
        What the weights or the exported file tell, else the data's and the model's own, unless given.
    batch_size, workers : int
        Images at a time, and threads that decode them.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling, on the first rank.
    progress : bool
        Whether to show a bar on a terminal.
    model_options : dict
        Fields in which the network of bare weights differs from the model's row.
    confusion : path
        Where to write the confusion matrix, as :func:`.mistakes.write_confusion` does.

    Returns a dict on the first rank, with the counts, those of each class, and the settings, and None on others. Raises
    InputError for data and weights that are not there, damaged, or do not fit, and for outputs that are not finite.
    """
    if (rec_dir is None) == (data_dir is None):
        raise InputError('the data to verify are a rec_dir or a data_dir: give one of them')
    if onnx_file and (weights or model_options or precision != 'float32'):
        raise InputError('--engine onnxruntime runs what its file holds: leave out --resume, --model-options and '
                         '--precision')
    require_confusion(confusion)
    with distributed.joined() as job:
        exported = OnnxNet(onnx_file) if onnx_file else None
        known = settle(model, weights, model_options, num_classes, exported)
        crop = known.crop(crop_size, crop_ratio)
        records, rest = _open(rec_dir, data_dir, known, num_classes, job)
        names = class_names(known.classes, description=known.description)
        if not (known.description and known.description.names) and len(records.classes or ()) == known.classes:
            names = readable_names(records.classes)
        mistakes = Mistakes(known.classes, pairs=confusion is not None)
        device = choose_device(no_cuda or bool(onnx_file), job)
        settings = {'model': known.spec.name, 'engine': 'onnxruntime' if onnx_file else 'gluon', 'precision': precision,
                    'crop_size': crop.size}
        batch_size = min(batch_size, len(records))
        if say and job.rank == 0:
            for line in known.surprises(crop, records):
                say(line)
        if onnx_file:
            net = onnx_engine(exported, known.spec)
        else:
            network, images = known.network(device), None
            if precision != 'float32':
                source, settings['calibration'] = calibration_records(calibration, rec_dir, data_dir,
                                                                      needed=precision == 'int8', **rest)
                images = source and calibration_batches(source, crop, calibration_images)
            net = gluon_engine(network, precision, device, crop.size, batch_size, images, calibration_mode)
            if precision != 'float32':
                settings['report'] = net.report
                if say and job.rank == 0:
                    say(net.describe())
        job.agree('number of images', len(records))
        batches = picked_batches(len(records), limit, batch_size, job.rank, job.size)
        loader = Loader(records, crop, batches, known.classes, workers, remedy=REMEDY)
        found = _evaluate(net, loader, device, job, progress, mistakes)
        counts = job.totals(mistakes.counts, 'classes')
        found = result(*found, onnx_file or weights or known.spec.name, **settings,
                       classes=class_table(counts, names))
        if job.rank == 0 and confusion:
            write_confusion(confusion, counts['pairs'], names)
        if say and job.rank == 0:
            say(result_line(found))
            if worst := worst_classes(found['classes']):
                say(worst)
        job.finish()
        return None if job.rank else found


def _open(rec_dir, data_dir, known, num_classes, job):
    """The images to verify, with the labels of the weights, and which part of the folder they are, as
    :func:`.calibration_records` wants to know it."""
    held_out, rest = known.description and known.description.held_out, {}
    if not data_dir:
        records = RecordSet(rec_dir, 'val')
        notes = [_trained_on(records, held_out) and f'note: {rec_dir}: some of these images are among those that '
                 f"{known.what} were trained on; prepare them with --val-fraction {held_out['val_fraction']} --seed "
                 f"{held_out['seed']}, as they were held out there, or verify the folder itself (--data-dir)"]
    else:
        named = bool(known.description and known.description.names)
        if held_out and not Path(data_dir, 'val').expanduser().is_dir() and \
                FolderSet(data_dir, 'train', single=named).is_sampled_from(held_out.get('sample', [])):
            rest = {name: held_out[name] for name in ('val_fraction', 'seed')}
        records = FolderSet(data_dir, 'val', single=named, **rest)
        notes = [records.note]
        if rest:
            notes.append(f'{data_dir}: trained on, so the {len(records)} images are verified that training held out '
                         f"(--val-fraction {held_out['val_fraction']}); put new ones into another folder")
    for note in filter(None, () if job.rank else notes):
        print(note, file=sys.stderr)
    return match(records, data_dir or rec_dir, known.what, known.classes, known.description,
                 num_classes is not None), rest


def _trained_on(records, held_out):
    """Whether shards are of the folder that ``held_out`` is of, of which they hold out what was trained on."""
    manifest = held_out and read_manifest(records.files[0].parent)
    theirs = manifest and manifest_held_out(manifest)
    return bool(theirs and is_held_out(theirs)) and is_same_folder(held_out.get('sample', []), theirs['sample']) and (
        theirs['seed'] != held_out['seed'] or theirs['val_fraction'] > held_out['val_fraction'])


def _evaluate(net, loader, device, job, progress, watch):
    """``(counts, images per second)`` of all ranks."""
    from tqdm import tqdm
    with tqdm(total=sum(map(len, loader.batches)), unit='image', disable=not progress or job.rank or
              not sys.stderr.isatty()) as bar:
        found = evaluate(net, loader, device, bar.update, watch)
        *totals, rate = job.total([found[name] or 0 for name in (*SUMS, 'images_per_second')], 'all')
    return totals, rate


def picked_batches(count, limit, batch_size, rank=0, ranks=1):
    """This rank's batches of indices: of all ``count`` images, or of ``limit`` of them, evenly spread over all.

    Over the ranks each picked image comes exactly once. Raises InputError for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f'--limit must be at least 1, got {limit}')
    limit = min(limit or count, count)
    picked = np.arange(limit) * count // limit
    return [picked[batch] for batch in evaluation_batches(limit, batch_size, rank, ranks)]


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
