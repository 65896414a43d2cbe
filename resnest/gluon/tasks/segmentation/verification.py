"""Verifying: the exact pixel accuracy and mean IoU of a data set, and how the scores of its pictures are computed."""
import sys

import numpy as np

from resnest.errors import InputError, SharedError
from resnest.gluon import distributed
from resnest.gluon.data import evaluation_batches
from resnest.gluon.data.loader import REMEDY
from resnest.gluon.device import choose_device
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.gluon.models.resnet import smallest_side

from .data import CentralCrop, MapLoader, Whole, is_known, open_maps
from .scores.evaluation import evaluate
from .scores.metrics import figures
from .scores.scoring import MultiScale, SingleScale, require_room
from .sources import make_engine, open_source

__all__ = ['result_line', 'table', 'verify']

SHOWN = 30      # classes that a table of text has at most


def verify(data_dir=None, images=None, maps=None, classes=None, model=None, weights=None, model_options=None,
           precision='float32', multi_scale=False, calibration_images=32, limit=None, crop_size=None, base_size=None,
           workers=2, no_cuda=False, say=None, progress=False):
    """Exact pixel accuracy and mean IoU of the validation pictures, in per cent; under ``horovodrun`` this is one rank.

    Parameters
    ----------
    data_dir, images, maps, classes
        As :func:`.data.open_maps` has them.
    model : str
        What the weights tell, else deeplab_resnest50_ade, unless given.
    weights : path
        A ``.params`` file, an exported ``.onnx`` file, or the prefix of an exported optimized network; the published
        weights unless given.
    model_options : dict
        Fields in which the network of bare weights differs from the model's row.
    precision : {'float32', 'bfloat16', 'int8'}
        int8 is calibrated with ``calibration_images`` of the training pictures, which the others are compared on too.
    multi_scale : bool
        Whether to score several scales and mirror images, in sliding crops (:class:`.scores.scoring.MultiScale`).
    limit : int
        So many pictures only, evenly taken from all.
    crop_size, base_size : int
        Of the crops of ``multi_scale``, and of the longer side at scale 1; the weights' own unless given.
    workers : int
        Threads that decode pictures.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling, on the first rank.
    progress : bool
        Whether to show a bar on a terminal.

    Returns a dict on the first rank, with the figures of each class and the settings, and None on others. Raises
    InputError for data and weights that are not there, damaged, or do not fit, and for outputs that are not finite.
    """
    options = {**(model_options or {}), **({'crop_size': crop_size} if crop_size else {}),
               **({'base_size': base_size} if base_size else {})}
    with distributed.joined() as job:
        known, exported = open_source(model, weights, options)
        least = smallest_side(known.spec.output_stride)
        if known.spec.base_size < least:
            raise InputError(f'--base-size must be at least {least} for this network, got {known.spec.base_size}')
        train_set, val_set = _open((data_dir, images, maps), classes, known, job)
        device = choose_device(no_cuda or exported is not None, job)
        if exported is None or multi_scale:
            crop_size = known.spec.crop_size
            require_room(f'--crop-size {crop_size}', (crop_size, crop_size), known.spec, device)
        pictures = _calibration(train_set, known.spec, calibration_images, workers)
        engine = make_engine(known, exported, precision, device, pictures)
        settings = {}
        if precision != 'float32':
            settings['report'] = engine.report
            if say and job.rank == 0:
                say(engine.describe())
        score = (MultiScale if multi_scale else SingleScale)(engine, known.spec, device)
        job.agree('number of pictures', len(val_set))
        counts = _evaluate(score, val_set, known.spec.classes, limit, workers, job, progress)
        if counts['nonfinite']:
            raise SharedError(f"{known.what}: the network's output is not finite for {counts['nonfinite']:.0f} of "
                              f"{counts['seen']:.0f} pictures; these weights are of no use")
        found = _result(counts, known.names or val_set.legend.names, model=known.model,
                        engine='onnxruntime' if isinstance(exported, OnnxNet) else 'gluon',
                        precision=getattr(exported, 'precision', precision), multi_scale=multi_scale,
                        crop_size=known.spec.crop_size, base_size=known.spec.base_size, **settings)
        if say and job.rank == 0:
            say(table(found['classes']))
            say(result_line(found))
        job.finish()
        return None if job.rank else found


def _open(where, classes, known, job):
    """The training and the validation pictures; raises InputError for classes that are not those of the weights."""
    held_out = known.description and known.description.held_out
    rest = {name: held_out[name] for name in ('val_fraction', 'seed')} \
        if held_out and is_known(held_out.get('sample', []), *where) else {}
    found = open_maps(*where, classes, **rest)
    names = found[0].legend.names
    if len(names) != known.spec.classes:
        raise InputError(f'{known.what} know {known.spec.classes} classes, the data have {len(names)}; give other '
                         f'weights, or --classes with all names')
    if known.names and known.names != names:
        one, other = next(pair for pair in zip(known.names, names) if pair[0] != pair[1])
        raise InputError(f"{known.what} know other classes than the data: '{one}' where these have '{other}'; give "
                         f'--classes with the names, in the order of the labels')
    notes = [records.note for records in found]
    if rest:
        notes.append(f'{where[0] or where[1]}: trained on, so the {len(found[1])} pictures are verified that training '
                     f"held out (--val-fraction {held_out['val_fraction']}); put new ones into another folder")
    for note in dict.fromkeys(filter(None, () if job.rank else notes)):
        print(note, file=sys.stderr)
    return found


def _calibration(records, spec, count, workers):
    """Batches of central crops of some training pictures."""
    count = min(count, len(records))
    picked = [np.array([index * len(records) // count]) for index in range(count)]
    return MapLoader(records, CentralCrop(spec.crop_size, spec.interpolation), picked, workers, remedy=REMEDY)


def _evaluate(score, records, classes, limit, workers, job, progress):
    """The counts of all ranks."""
    from tqdm import tqdm
    if limit is not None and limit < 1:
        raise InputError(f'--limit must be at least 1, got {limit}')
    limit = min(limit or len(records), len(records))
    picked = np.arange(limit) * len(records) // limit
    batches = [picked[batch] for batch in evaluation_batches(limit, 1, job.rank, job.size)]
    with tqdm(total=len(batches), unit='picture', disable=not progress or job.rank or not sys.stderr.isatty()) as bar:
        loader = MapLoader(records, Whole(), batches, workers, remedy=REMEDY)
        return job.totals(evaluate(score, loader, classes, bar.update), 'all')


def _result(counts, names, **settings):
    found, pixels = figures(counts['confusion']), counts['confusion'].sum(axis=1)
    rows = [{'class': label, 'name': name, 'iou': None if np.isnan(iou) else 100 * float(iou), 'pixels': int(count)}
            for label, (name, iou, count) in enumerate(zip(names, found['iou'], pixels))]
    if not pixels.sum():
        raise SharedError('the maps have no pixel that counts: all of them are ignored; mend the maps')
    return {'miou': 100 * found['miou'], 'pixel_accuracy': 100 * found['pixel_accuracy'], 'seen': int(counts['seen']),
            **settings, 'classes': rows}


def table(rows):
    """The IoU of each class as lines of text; of many classes, those of the lowest."""
    known = [row for row in rows if row['iou'] is not None]
    shown = rows if len(rows) <= SHOWN else sorted(known, key=lambda row: row['iou'])[:SHOWN]
    width = max(len(row['name']) for row in shown)
    lines = [f"  {row['name']:{width}}  " + ('none there' if row['iou'] is None else f"{row['iou']:6.2f} %")
             for row in shown]
    return '\n'.join([f'IoU of {"each class" if shown is rows else f"the {len(shown)} lowest classes"}:', *lines])


def result_line(found):
    """One line of text."""
    how = 'several scales, mirrored too' if found['multi_scale'] else 'one scale'
    return (f"{found['model']}: mIoU {found['miou']:.2f} %  pixel accuracy {found['pixel_accuracy']:.2f} %  of "
            f"{found['seen']} pictures ({how}, {found['engine']}, {found['precision']})")
