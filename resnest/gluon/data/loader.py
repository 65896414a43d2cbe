"""Batches from records: threads decode and transform ahead of the one who asks.

Threads, not processes: Pillow reads, decodes and resamples outside Python's lock, so two threads keep two cores
busy; batches need no copy between processes, no shared memory that can run out, no fork beside MXNet's and
Horovod's threads, and nothing outlives a run that is killed.
"""
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from resnest.errors import InputError
from resnest.gluon.streams import AUGMENTATION, generator

from .images.decoding import BadImage, opened

__all__ = ['Loader']

MOST_BAD = 100      # records in a row that are passed over; more are no accident


class Loader:
    """Iterates over ``(images uint8 (n, size, size, 3), labels int32 (n,))`` for the given batches of indices.

    Every random choice of a sample's transform is drawn from (seed, epoch, sample index): the pixels do
    not depend on the number of workers or ranks.

    The protocol of a loader, on which the trainer and the evaluation rely, and which a task's own loader must keep:

    - ``loader.batches`` is the sequence of sample indices of each batch, and ``len(loader)`` their number: the steps
      that are left of the epoch, the same on every rank.
    - Iterating yields the batches in that order, whatever the number of workers, so that
      ``zip(loader.batches, loader)`` puts the indices beside their images. One may leave at any batch.
    - ``loader.skipped`` is a list with one entry per record that was left out of the batches **yielded so far**. What
      is prepared ahead is not in it, so that a run that stops after a step and starts there again counts each once.

    Iterating again starts from the first batch, with ``skipped`` empty.

    Parameters
    ----------
    records : RecordSet or FolderSet
        What has ``len``, ``records[index] -> (encoded image, label)``, ``where(index)`` for messages, and ``decoding``,
        the rule by which :mod:`.images.decoding` reads its images.
    transform : callable
        ``transform(picture, rng)``, see :mod:`.images.transforms`; ``rng`` is None for one whose ``draws`` is False.
    batches : sequence of int arrays
        Sample indices of each batch.
    classes : int
        Labels must be below it.
    workers : int
        Threads; 0 does the work in the caller.
    seed, epoch : int
    skip_bad : bool
        Put the next readable record in the place of one that cannot be read; the message goes into ``skipped``.

    Raises InputError that names the record for a damaged image, a label out of range, and where memory runs out; with
    ``skip_bad``, the first of 100 records in a row that cannot be read.
    """

    def __init__(self, records, transform, batches, classes, workers=2, seed=0, epoch=0, skip_bad=False):
        self.records = records
        self.transform = transform
        self.batches = batches
        self.classes = classes
        self.workers = workers
        self.seed = seed
        self.epoch = epoch
        self.skip_bad = skip_bad
        self.skipped = []

    def __len__(self):
        return len(self.batches)

    def sample(self, index, skipped):
        """One transformed image and its label; messages about records that were passed over go into ``skipped``."""
        index, first = int(index), None
        for ahead in range(min(MOST_BAD, len(self.records))):
            try:
                return self._read((index + ahead) % len(self.records), index)
            except UnreadableRecord as error:
                if not self.skip_bad:
                    raise
                skipped.append(str(error))
                first = first or error
        what = f'none of {MOST_BAD} records from there on' if len(self.records) > MOST_BAD else \
            'no record of the whole set'
        raise InputError(f'{first}; {what} can be read')

    def _read(self, index, drawn_for):
        draws = getattr(self.transform, 'draws', True)
        rng = generator(AUGMENTATION, self.seed, self.epoch, drawn_for) if draws else None
        try:
            data, label = self.records[index]
            with opened(data, index, self.records.decoding) as picture:
                pixels = self.transform(picture, rng)
        except BadImage as error:
            named = BadImage(self.records.where(index), error.reason)       # made only for the message
            advice = '' if self.skip_bad else ', or train with --skip-bad'
            raise UnreadableRecord(f'{named}; remove it from the data{advice}') from error
        except MemoryError:
            raise InputError(f'{self.records.where(index)}: memory ran out at this record, which may well be a good '
                             f'one; use fewer --num-workers, or a smaller --batch-size') from None
        except InputError as error:
            raise UnreadableRecord(error) from None
        if not 0 <= label < self.classes:
            raise InputError(f'{self.records.where(index)}: label {label}, but there are {self.classes} classes; '
                             f'set --num-classes, or prepare the data again')
        return pixels, label

    def batch(self, indices):
        """The images and labels of a list of indices, and messages about the records that were passed over."""
        skipped = []
        images, labels = zip(*(self.sample(index, skipped) for index in indices))
        return np.stack(images), np.asarray(labels, dtype=np.int32), skipped

    def __iter__(self):
        self.skipped = []
        with closing(self._made()) as made:
            for images, labels, skipped in made:
                self.skipped += skipped
                yield images, labels

    def _made(self):
        """The batches in order; with workers, some are made before they are asked for."""
        if not self.workers:
            yield from map(self.batch, self.batches)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            ahead = deque()
            try:
                for indices in self.batches:
                    ahead.append(pool.submit(self.batch, indices))
                    if len(ahead) > 2 * self.workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


class UnreadableRecord(InputError):
    """A record whose image cannot be read."""
