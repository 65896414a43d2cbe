"""Batches of pictures with what is in them."""
from resnest.gluon.data import SampleLoader, TransformedRecords
from resnest.gluon.data.loader import LEAVE_OUT, REMEDY

__all__ = ['CocoLoader', 'PictureLoader', 'Unchanged']


class Unchanged:
    """The picture and its truth as they are."""
    draws = False

    def __call__(self, picture, truth, rng=None):
        return picture, truth


class CocoLoader(SampleLoader):
    """Iterates over ``(pictures, truths)``: lists of uint8 ``(H, W, 3)``, each of its own size, and of
    :class:`.truth.Truth`.

    Every random choice of a sample's transform is drawn from (seed, epoch, sample index): the pixels do not depend on
    the number of workers or ranks. What holds of any loader says :class:`resnest.gluon.data.SampleLoader`.

    Parameters
    ----------
    records : CocoSet
    transform : callable
        ``transform(picture, truth, rng)``, see :mod:`.transforms`.
    batches : sequence of int arrays
        Sample indices of each batch; of :func:`resnest.gluon.data.training_batches` with ``records.groups``, pictures
        of a batch are wider than high, or none of them is.
    workers : int or (int or None, str or None)
        As :class:`resnest.gluon.data.SampleLoader` has it.
    seed, epoch : int
    skip_bad : bool or str
        What is done about pictures that cannot be read, see :class:`resnest.gluon.data.SampleLoader`.

    Raises InputError that names the file for a damaged picture, for one of another size than the annotations tell, and
    where memory runs out.
    """

    def __init__(self, records, transform, batches, workers=2, seed=0, epoch=0, skip_bad=False):
        super().__init__(_Samples(records, transform, seed, epoch), batches, _together, workers, skip_bad)


class PictureLoader(SampleLoader):
    """Iterates over lists of ``(index, picture)``, the pictures alone, uint8 ``(H, W, 3)``, for evaluation; see
    :class:`CocoLoader`. With ``skip_bad`` pictures that cannot be read are left out."""

    def __init__(self, records, batches, workers=2, skip_bad=False):
        super().__init__(_Pictures(records), batches, list, workers, skip_bad and LEAVE_OUT, REMEDY)


class _Pictures:
    def __init__(self, records):
        self._records, self.where = records, records.where

    def __len__(self):
        return len(self._records)

    def __repr__(self):
        return repr(self._records)

    def make(self, record, index):
        return index, self._records.pixels(record)


class _Samples(TransformedRecords):
    """``(picture, truth)`` of each record."""

    def make(self, record, index):
        return self.transform(*self.records.read(record), self.generator(index))


def _together(samples):
    return [picture for picture, _ in samples], [truth for _, truth in samples]
