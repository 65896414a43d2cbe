"""What a detector finds in a data set, and the figures of that, exact over all ranks."""
import itertools
import json
from dataclasses import dataclass
from typing import Optional

import numpy as np

from resnest.errors import SharedError
from resnest.gluon.data import evaluation_batches

from .data import CocoSet, PictureLoader
from .finding import each_detections
from .geometry.sizes import long_side_for
from .scores import Found, average_precision, gather, merged, mirrored_back, panoptic_quality, segment_counts

__all__ = ['Seen', 'evaluate', 'look_at', 'measure']

TOGETHER = 32       # pictures that are held with what was found in them at each scale


@dataclass
class Seen:
    """What this rank has found in ``count`` pictures, its share of those at the ``places`` among the annotations of
    ``records``; the places of those that it left out are in ``unread``. ``segments`` are
    :func:`.scores.segment_counts`, or None."""
    records: CocoSet
    places: list
    count: int
    unread: list
    found: Found
    segments: Optional[np.ndarray]


def evaluate(net, records, job, **options):
    """The figures of a detector on pictures (:func:`measure`); ``options`` are those of :func:`look_at`. Collective."""
    return measure(look_at(net, records, job, **options), job)


def look_at(net, records, job, limit=None, short_sides=None, flip=False, batch_size=1, workers=2, progress=None,
            skip_bad=False):
    """What a detector finds in this rank's share of the pictures, for :func:`measure`: nothing collective.

    Parameters
    ----------
    net : Detector
    records : CocoSet
        With ``masks`` the AP of masks is measured, with ``panoptic`` the panoptic quality.
    job : resnest.gluon.distributed.Job
    limit : int
        So many pictures only, evenly taken from all.
    short_sides : list of int
        Each picture is seen with its short side at each of these lengths, in pixels, the limit of its long side in the
        row's proportion, and what is found is merged (:mod:`.scores.merging`); the row's alone unless given. Panoptic
        segments are those at the first of them.
    flip : bool
        Whether the mirror image is seen too, at each length.
    batch_size, workers : int
        As :func:`.finding.each_detections` and a loader have them.
    progress : callable
        Called with the number of pictures that have been seen since the last call.
    skip_bad : bool
        Leave out pictures that cannot be read, as if they and their objects were not among the annotations.

    Returns a :class:`Seen`. Raises InputError for pictures without an annotation, and for outputs that are not finite.
    """
    limit = min(limit or len(records), len(records))
    picked = np.arange(limit) * len(records) // limit
    annotations, maps = records.annotations, records.panoptic
    places = [records.place(index) for index in picked]
    if not any(len(annotations.of(place)) for place in places):
        raise SharedError(f'{annotations.path}: no annotations of the {limit} pictures that are looked at')
    found, mine = Found(records.masks), picked[job.rank::job.size]
    counts = np.zeros((len(maps.categories), 4)) if maps else None
    loader = PictureLoader(records, [mine[batch] for batch in evaluation_batches(len(mine), 1)], workers, skip_bad)
    read = []

    def pictures():
        for batch in loader:
            for index, picture in batch:
                read.append(index)
                yield picture

    for number, each in enumerate(_each(net, pictures(), short_sides, flip, batch_size, records.categories)):
        place = records.place(read[number])
        found.add(place, each)
        if maps:
            ids, segments = each.panoptic
            counts += segment_counts(maps.ids(place, *each.size), maps.segments(place), ids, (
                [segment['id'] for segment in segments], [segment['category_id'] for segment in segments]),
                [number for number, *_ in maps.categories])
        if progress:
            progress(1)
    unread = [records.place(index) for index in np.setdiff1d(mine, read)]
    return Seen(records, places, len(read), unread, found, counts)


def measure(seen, job):
    """The figures, in per cent, of what all ranks have seen, on each of them: ``{'box': …, 'mask': …, 'panoptic': …,
    'seen': pictures}``, as :func:`.scores.average_precision` and :func:`.scores.panoptic_quality` have them, None for
    what is not measured. Collective."""
    whole, annotations, maps = gather(seen.found, job), seen.records.annotations, seen.records.panoptic
    unread = np.concatenate([np.frombuffer(part, np.int64) for part in
                             job.gather_bytes(np.array(seen.unread, np.int64).tobytes(), 'unread')])
    places = np.setdiff1d(seen.places, unread).tolist()

    def measured():
        return json.dumps({name: average_precision(annotations, whole, places, masks) if wanted else None for
                           name, wanted, masks in (('box', True, False), ('mask', seen.records.masks, True))}).encode()

    figures = json.loads(bytes(job.from_first(measured, 'figures')))
    figures['panoptic'] = panoptic_quality(job.total(seen.segments.ravel(), 'segments').reshape(-1, 4), [
        thing for *_, thing in maps.categories]) if maps else None
    return {**figures, 'seen': len(places)}


def _each(net, pictures, short_sides, flip, batch_size, categories):
    """Yield the detections of each picture, merged where it is seen in several versions."""
    short_sides = short_sides or [net.spec.short_side]
    if not flip and len(short_sides) == 1:
        side = short_sides[0]
        yield from each_detections(net, pictures, batch_size, side, long_side_for(side, net.spec), categories)
        return
    while some := list(itertools.islice(pictures, TOGETHER)):
        versions = []
        for side in short_sides:
            rest = batch_size, side, long_side_for(side, net.spec), categories
            versions.append(list(each_detections(net, some, *rest)))
            if flip:
                mirrored = each_detections(net, [picture[:, ::-1] for picture in some], *rest)
                versions.append([mirrored_back(each, each.size[1]) for each in mirrored])
        for each in zip(*versions):
            yield merged(each, net.spec.overlap, net.spec.detections)
