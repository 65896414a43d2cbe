"""Verifying: the exact average precision of joints on a data set, with and without mirror images."""
import sys

import numpy as np

from resnest.errors import InputError, SharedError
from resnest.gluon import distributed
from resnest.gluon.data.loader import REMEDY
from resnest.gluon.device import choose_device
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.runtime import import_extra

from .data import CropLoader, Plain, open_people
from .describing import joints_of
from .estimation import look_at, measure
from .sources import make_engine, open_source

__all__ = ['result_line', 'verify']


def verify(data_dir=None, annotations=None, images=None, model=None, weights=None, model_options=None,
           precision='float32', flip=True, calibration_images=32, batch_size=32, workers=2, no_cuda=False, say=None,
           progress=False):
    """COCO's figures of the joints of a validation set, in per cent; under ``horovodrun`` this is one rank.

    People are cut out at the boxes of the annotations, and their scores are the means of those of their joints.

    Parameters
    ----------
    data_dir, annotations, images
        As :func:`.data.open_people` has them.
    model : str
        What the weights tell, else simple_pose_resnest50, unless given.
    weights : path
        A ``.params`` file, an exported ``.onnx`` file, or the prefix of an exported optimized network; the published
        weights unless given.
    model_options : dict
        Fields in which the network of bare weights differs from the model's row.
    precision : {'float32', 'bfloat16', 'int8'}
        int8 is calibrated with ``calibration_images`` of the people of ``data_dir`` to train on.
    flip : bool
        Whether to measure with the mirror images, too.
    batch_size : int
        People at a time.
    workers : int
        Threads that decode pictures.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling, on the first rank.
    progress : bool
        Whether to show a bar on a terminal.

    Returns a dict on the first rank: ``plain``, and ``mirrored`` with ``flip``, each of
    :data:`.scores.similarity.FIGURES`, ``people``, ``sigmas``, ``model``, ``engine`` and ``precision``; None on others.
    Raises InputError for data and weights that are not there, damaged, or do not fit, and for outputs that are not
    finite.
    """
    from tqdm import tqdm
    import_extra('pycocotools')
    with distributed.joined() as job:
        people = open_people('val', data_dir, annotations, images)
        known, exported = open_source(model, weights, model_options)
        joints, spec = joints_of(known.spec, known.description), known.spec
        if len(joints.names) != len(people.joints.names) or known.description and joints.names != people.joints.names:
            raise InputError(f'{known.what} know other joints than {people.annotations.path}, {len(joints.names)} and '
                             f'{len(people.joints.names)}; give other weights')
        job.agree('number of people', len(people))
        device = choose_device(no_cuda or exported is not None, job)
        crops = _calibration(data_dir, spec, calibration_images, workers) if precision == 'int8' else None
        engine = make_engine(known, exported, precision, device, crops)
        if say and job.rank == 0 and precision != 'float32':
            say(engine.describe())
        found = {}
        for name, pairs in (('plain', None), *([('mirrored', people.joints.pairs)] if flip else [])):
            with tqdm(total=-(-len(people) // job.size), unit='person', desc=name,
                      disable=not progress or job.rank or not sys.stderr.isatty()) as bar:
                counts = job.totals(look_at(engine, people, spec, device, job, batch_size, pairs, workers,
                                            progress=bar.update), 'all')
            if counts['nonfinite']:
                raise SharedError(f"{known.what}: the network's output is not finite for {counts['nonfinite']:.0f} of "
                                  f"{counts['seen']:.0f} people; these weights are of no use")
            if job.rank == 0:
                found[name] = measure(people, counts)
        job.finish()
        if job.rank:
            return None
        found.update(people=len(people), model=known.model, sigmas=list(people.joints.sigmas),
                     engine='onnxruntime' if isinstance(exported, OnnxNet) else 'gluon',
                     precision=getattr(exported, 'precision', precision))
        if say:
            say(result_line(found))
        return found


def _calibration(data_dir, spec, count, workers):
    """Batches of crops of some people to train on."""
    if not data_dir:
        raise InputError('--precision int8 is calibrated with people to train on; give --data-dir')
    people = open_people('train', data_dir)
    count = min(count, len(people))
    picked = [np.array([index * len(people) // count]) for index in range(count)]
    return [batch[:1] for batch in CropLoader(people, Plain(spec), picked, workers, remedy=REMEDY)]


def result_line(found):
    """Text, a line for each way of looking."""
    return '\n'.join(
        f"{found['model']}: AP {found[name]['ap']:.2f} %  AP50 {found[name]['ap50']:.2f} %  AP75 "
        f"{found[name]['ap75']:.2f} %  AR {found[name]['ar']:.2f} %  of {found['people']} people ({how}, "
        f"{found['engine']}, {found['precision']})"
        for name, how in (('plain', 'crops alone'), ('mirrored', 'mirror images too')) if name in found)
