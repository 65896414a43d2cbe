"""What a detector finds in many pictures: flat arrays and masks as run lengths, and those of all ranks together."""
import io

import numpy as np

from resnest.errors import InputError
from resnest.gluon.data.coco.run_lengths import compressed, counts_in

__all__ = ['Found', 'gather']

ARRAYS = ('pictures', 'classes', 'boxes', 'scores')


class Found:
    """Detections, with the pictures known by whole numbers: ``pictures`` and ``classes`` int64 ``(D,)``, ``boxes``
    ``(D, 4)`` and ``scores`` ``(D,)`` float64, ``masks``, a list of D compressed run lengths (bytes), or None."""

    def __init__(self, masks=False):
        self.pictures, self.classes = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.boxes, self.scores = np.zeros((0, 4)), np.zeros(0)
        self.masks = [] if masks else None
        self._waiting = []

    def add(self, picture, detections):
        """Add what was found in a picture (:class:`.finding.Detections`); raises InputError for a box or a score that
        is not finite."""
        boxes, scores = np.asarray(detections.boxes, np.float64), np.asarray(detections.scores, np.float64)
        if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
            raise InputError('a box or a score that was found is not finite: these weights are of no use')
        if self.masks is not None:
            self.masks += [compressed(counts_in(detections.mask(index))).encode() for index in range(len(scores))]
        self._waiting.append((np.full(len(scores), picture), np.asarray(detections.classes, np.int64),
                              boxes.reshape(-1, 4), scores))

    def to_bytes(self):
        """All of it, for :meth:`extend`."""
        masks, buffer = self.masks or [], io.BytesIO()
        self._settle()
        np.savez(buffer, lengths=np.array([len(mask) for mask in masks], np.int64),
                 masks=np.frombuffer(b''.join(masks), np.uint8), **{name: getattr(self, name) for name in ARRAYS})
        return buffer.getvalue()

    def extend(self, data):
        """Add what another one's :meth:`to_bytes` holds."""
        with np.load(io.BytesIO(data)) as stored:
            self._waiting.append(tuple(stored[name] for name in ARRAYS))
            if self.masks is not None:
                joined, ends = stored['masks'].tobytes(), np.cumsum(stored['lengths']).tolist()
                self.masks += [joined[start:end] for start, end in zip([0, *ends], ends)]

    def by_picture(self):
        """The same with the pictures in rising order, and what was found in each of them as it was added."""
        self._settle()
        order, other = np.argsort(self.pictures, kind='stable'), Found(self.masks is not None)
        for name in ARRAYS:
            setattr(other, name, getattr(self, name)[order])
        other.masks = self.masks and [self.masks[place] for place in order]
        return other

    def _settle(self):
        whole = [np.concatenate(parts) for parts in
                 zip([getattr(self, name) for name in ARRAYS], *self._waiting)]
        for name, values in zip(ARRAYS, whole):
            setattr(self, name, values)
        self._waiting = []


def gather(found, job):
    """The :class:`Found` of all ranks, by picture: on the first one of ``job`` (:class:`.distributed.Job`), on others
    None. Collective."""
    parts = job.gather_bytes(found.to_bytes(), 'detections')
    if job.rank:
        return None
    whole = Found(found.masks is not None)
    for part in parts:
        whole.extend(part)
    return whole.by_picture()
