"""The joints that a network tells in crops of people."""
import mxnet as mx
import numpy as np

from resnest.gluon.data import evaluation_batches
from resnest.gluon.data.loader import LEAVE_OUT, REMEDY

from .data import CropLoader, Plain
from .heatmaps import decode, mirror_average
from .placing import moved
from .scores.similarity import average_precision, person_scores

__all__ = ['estimate', 'look_at', 'measure']


def estimate(net, crops, device, pairs=None):
    """``(points (N, J, 2), scores (N, J))`` in pixels of the heat maps, of crops uint8 ``(N, height, width, 3)``.

    ``net`` takes such pixels (:func:`resnest.gluon.data.with_normalization`). With ``pairs``, the joints that change
    places in a mirror, the heat maps are the mean of those of the crops and of their mirror images. Joints whose maps
    are not finite have the score nan.
    """
    maps = net(mx.nd.array(crops, ctx=device, dtype='uint8')).astype('float32').asnumpy()
    if pairs is not None:
        other = net(mx.nd.array(crops[:, :, ::-1], ctx=device, dtype='uint8')).astype('float32').asnumpy()
        maps = mirror_average(maps, other, pairs)
    finite = np.isfinite(maps).all((2, 3))
    points, scores = decode(np.where(finite[..., None, None], maps, 0))
    return points, np.where(finite, scores, np.nan)


def look_at(net, people, spec, device, job, batch_size=32, pairs=None, workers=2, skip_bad=False, progress=None):
    """The joints of all people of a set, on this rank's share of them, as what can be added up over the ranks.

    Returns a dict: ``points`` ``(P, J, 2)`` in pixels of the pictures and ``scores`` ``(P, J)``, 0 for those of other
    ranks, ``found`` ``(P,)``, 1 for each person who was looked at, ``seen``, how many these are, how many of them are
    ``nonfinite``, and how many are ``skipped``, as their pictures cannot be read.
    """
    points, scores, found = (np.zeros((len(people), *rest)) for rest in ((spec.joints, 2), (spec.joints,), ()))
    bad = 0
    batches = evaluation_batches(len(people), batch_size, job.rank, job.size)
    loader = CropLoader(people, Plain(spec), batches, workers, skip_bad=skip_bad and LEAVE_OUT, remedy=REMEDY)
    for crops, placed, numbers in loader:
        told, sure = estimate(net, crops, device, pairs)
        finite = np.isfinite(sure).all(-1)
        bad += int((~finite).sum())
        found[numbers] = 1
        scores[numbers] = np.where(finite[:, None], sure, 0)
        points[numbers] = [moved(where, each) for where, each in zip(placed, told)]
        if progress:
            progress(len(crops))
    return {'points': points, 'scores': scores, 'found': found, 'seen': int(found.sum()), 'nonfinite': bad,
            'skipped': len(loader.skipped)}


def measure(people, counts):
    """COCO's figures (:data:`.scores.similarity.FIGURES`) of the people that were looked at on all ranks."""
    looked = np.flatnonzero(counts['found'] > 0)
    places = [people.place(index) for index in looked]
    return average_precision(people.annotations, sorted(set(places)), places, counts['points'][looked],
                             person_scores(counts['scores'][looked]))
