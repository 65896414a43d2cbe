"""Batches of images with their maps."""
import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import SampleLoader, TransformedRecords, WrongRecord
from resnest.gluon.data.images.decoding import BadImage, opened
from resnest.gluon.data.images.turning import orientation_of
from resnest.gluon.data.loader import TRAINING_REMEDY

from .label_images import read_values

__all__ = ['MapLoader']


class MapLoader(SampleLoader):
    """Iterates over ``(images uint8 (n, h, w, 3), labels int32 (n, h, w))``; ignored pixels are labelled -1.

    Every random choice of a sample's transform is drawn from (seed, epoch, sample index): the pixels do not depend on
    the number of workers or ranks. What holds of any loader says :class:`resnest.gluon.data.SampleLoader`.

    Parameters
    ----------
    records : MapSet
    transform : callable
        ``transform(picture, labels, rng)``, see :mod:`.transforms`; ``rng`` is None for one whose ``draws`` is False.
    batches : sequence of int arrays
        Sample indices of each batch.
    workers : int or (int or None, str or None)
        As :class:`resnest.gluon.data.SampleLoader` has it.
    seed, epoch : int
    skip_bad, remedy
        What is done about records whose image or map is damaged, see :class:`resnest.gluon.data.SampleLoader`.

    Raises InputError that names the file for a damaged image or map, and, with ``skip_bad`` too, for a map that has
    another size than its image or a value out of range, and where memory runs out.
    """

    def __init__(self, records, transform, batches, workers=2, seed=0, epoch=0, skip_bad=False,
                 remedy=TRAINING_REMEDY):
        super().__init__(_Samples(records, transform, seed, epoch), batches, _stacked, workers, skip_bad, remedy)


class _Samples(TransformedRecords):
    """``(pixels, labels)`` of each record."""

    def make(self, record, index):
        data, encoded = self.records[record]
        try:
            values, orientation = read_values(encoded, record, self.records.decoding)
        except BadImage as error:
            raise BadImage(record, f'its map, {self.records.where_map(record)}: {error.reason}') from error
        labels, beyond = self.records.legend.labels(values)
        with opened(data, record, self.records.decoding) as picture:
            self._check(record, picture, labels, orientation)
            if beyond is not None:
                raise WrongRecord(f'{self.records.where_map(record)}: a pixel of value {beyond}, which is out of '
                                  f'range: it is none of the {len(self.records.legend)} classes; mend the map, or '
                                  f'give the names of all classes')
            return self.transform(picture, labels, self.generator(index))

    def _check(self, record, picture, labels, orientation):
        """Refuse a map that does not lie on its image."""
        if self.records.decoding == 'upright' and orientation_of(picture.image) != orientation:
            raise WrongRecord(f'{self.where(record)}: EXIF turns the image, but not its map, or the other way round; '
                              f'save both upright, without EXIF')
        (height, width), size = labels.shape, picture.size
        if size != (width, height):
            raise WrongRecord(f'{self.records.where_map(record)}: {width} x {height} pixels, but its image has '
                              f'{size[0]} x {size[1]}; a map must have the size of its image')


def _stacked(samples):
    images, labels = zip(*samples)
    if len({image.shape for image in images}) > 1:
        raise InputError('pictures of different sizes cannot be one batch; use --batch-size 1')
    return np.stack(images), np.stack(labels).astype(np.int32)
