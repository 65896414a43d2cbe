"""Batches of any task's samples: threads or processes make them ahead of the one who asks.

Threads are enough for a few cores: Pillow reads, decodes and resamples outside Python's lock, and batches need no copy.
Processes (:mod:`.processes`) are for many cores.
"""
import copy
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from resnest.errors import InputError
from resnest.gluon.streams import AUGMENTATION, generator

from .images.decoding import BadImage
from .processes import made_by_processes, settled

__all__ = ['LEAVE_OUT', 'REMEDY', 'SampleLoader', 'TransformedRecords', 'WrongRecord']

MOST_BAD = 100      # records in a row that are passed over; more are no accident
LEAVE_OUT = 'leave out'
REMEDY = 'remove it from the data'
TRAINING_REMEDY = f'{REMEDY}, or train with --skip-bad'


class WrongRecord(InputError):
    """A record that can be read, but does not fit, such as one whose label is out of range: it is never passed over."""


class SampleLoader:
    """Iterates over what ``collate`` makes of the samples of each batch.

    The protocol of a loader, on which the trainer and the evaluation rely, and which a task's own loader must keep:

    - ``loader.batches`` is the sequence of sample indices of each batch, and ``len(loader)`` their number: the steps
      that are left of the epoch, the same on every rank.
    - Iterating yields the batches in that order, whatever the number of workers, so that
      ``zip(loader.batches, loader)`` puts the indices beside their samples. One may leave at any batch.
    - ``loader.skipped`` is a list with one entry per record that was left out of the batches **yielded so far**. What
      is prepared ahead is not in it, so that a run that stops after a step and starts there again counts each once.

    A loader that only evaluates leaves out what cannot be read (``skip_bad='leave out'``): a batch is smaller then, and
    one of which nothing is left is not yielded.

    Iterating again starts from the first batch, with ``skipped`` empty.

    Parameters
    ----------
    samples : object
        What has ``len``, ``where(record)`` for messages, and ``make(record, index)``: the sample of a record, with its
        random choices drawn for ``index``. That is another one only where the record stands in the place of others
        that cannot be read. ``make`` raises BadImage or InputError for a record that cannot be read, and
        :class:`WrongRecord` for one that does not fit. Threads call it at the same time.
    batches : sequence of int arrays
        Sample indices of each batch.
    collate : callable
        Makes a batch of a list of samples, of any kind and size.
    workers : int or (int or None, str or None)
        Threads, 0 does the work in the caller; or a number and ``'thread'`` or ``'process'``, where None leaves the
        choice to :func:`.processes.settled`. Processes get ``samples`` and ``collate`` pickled.
    skip_bad : bool or str
        Put the next readable record in the place of one that cannot be read, or ``'leave out'`` the latter; the message
        goes into ``skipped``.
    remedy : str
        What to do about a record that cannot be read, for the message.

    Raises InputError that names the record for one that cannot be read or does not fit, and where memory runs out; with
    ``skip_bad`` True, the first of 100 records in a row that cannot be read.
    """

    def __init__(self, samples, batches, collate, workers=2, skip_bad=False, remedy=TRAINING_REMEDY):
        self.samples = samples
        self.batches = batches
        self.collate = collate
        self.workers, self.kind = settled(workers)
        self.skip_bad = skip_bad
        self.remedy = REMEDY if skip_bad else remedy
        self.skipped = []

    def __len__(self):
        return len(self.batches)

    def __repr__(self):
        return f'{type(self).__name__}({self.samples!r}, batches={len(self)}, workers={self.workers})'

    def sample(self, index, skipped):
        """One sample; messages about records that were passed over go into ``skipped``."""
        index, first = int(index), None
        for ahead in range(min(MOST_BAD, len(self.samples))):
            try:
                return self._make((index + ahead) % len(self.samples), index)
            except UnreadableRecord as error:
                if not self.skip_bad:
                    raise
                skipped.append(str(error))
                first = first or error
        what = f'none of {MOST_BAD} records from there on' if len(self.samples) > MOST_BAD else \
            'no record of the whole set'
        raise InputError(f'{first}; {what} can be read')

    def _make(self, record, index):
        try:
            return self.samples.make(record, index)
        except WrongRecord:
            raise
        except BadImage as error:
            named = BadImage(self.samples.where(record), error.reason)      # made only for the message
            raise UnreadableRecord(f'{named}; {self.remedy}') from error
        except MemoryError:
            raise InputError(f'{self.samples.where(record)}: memory ran out at this record, which may well be a good '
                             f'one; use fewer --num-workers, or a smaller --batch-size') from None
        except InputError as error:
            raise UnreadableRecord(error) from None

    def batch(self, indices):
        """The batch of a list of indices, None where it is empty, and messages about what was passed over."""
        return self._joined([self._part(indices)])

    def _part(self, indices):
        """The samples of some indices, and messages about what was passed over."""
        skipped = []
        find = self._readable if self.skip_bad == LEAVE_OUT else lambda *each: [self.sample(*each)]
        return [sample for index in indices for sample in find(index, skipped)], skipped

    def _joined(self, parts):
        """The batch of the samples of all ``parts``, as :meth:`batch` returns it."""
        parts = list(parts)
        samples = [sample for part, _ in parts for sample in part]
        return self.collate(samples) if samples else None, [message for _, skipped in parts for message in skipped]

    def _readable(self, index, skipped):
        """One sample in a list, or none."""
        try:
            return [self._make(int(index), int(index))]
        except UnreadableRecord as error:
            skipped.append(str(error))
            return []

    def __iter__(self):
        self.skipped = []
        with closing(self._made()) as made:
            for batch, skipped in made:
                self.skipped += skipped
                if batch is not None:
                    yield batch

    def _made(self):
        """The batches in order; with workers, some are made before they are asked for."""
        if not self.workers:
            yield from map(self.batch, self.batches)
            return
        if self.kind == 'process':
            made = copy.copy(self)
            made.batches = made.skipped = ()
            yield from made_by_processes(made.batch, self.batches, self.workers)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            ahead = deque()
            try:
                for indices in self.batches:
                    ahead.append(self._submitted(pool, indices))
                    if len(ahead) > 2 * self.workers:
                        yield ahead.popleft()[-1].result()
                while ahead:
                    yield ahead.popleft()[-1].result()
            finally:
                for future in (future for futures in ahead for future in futures):
                    future.cancel()

    def _submitted(self, pool, indices):
        """Futures of the parts of a batch, and last of the batch itself: all threads make one batch, so that the first
        one comes early. The pool begins what it is given in order, and so no thread waits for what none has begun."""
        count = max(1, min(self.workers, len(indices)))
        parts = [pool.submit(self._part, part) for part in np.array_split(indices, count)]
        return [*parts, pool.submit(self._joined, (part.result() for part in parts))]


class TransformedRecords:
    """What the ``samples`` of a :class:`SampleLoader` share that are records behind a random transform.

    A subclass defines ``make(record, index)``. ``records`` has ``len`` and ``where(index)``; a transform that draws
    nothing has ``draws = False``.
    """

    def __init__(self, records, transform, seed, epoch):
        self.where = records.where
        self.records, self.transform = records, transform
        self._seed, self._epoch = seed, epoch

    def __len__(self):
        return len(self.records)

    def __repr__(self):
        return f'{self.records!r}, {self.transform!r}'

    def generator(self, index):
        """The Generator of a sample's random choices, by seed, epoch and its index; None where there are none."""
        draws = getattr(self.transform, 'draws', True)
        return generator(AUGMENTATION, self._seed, self._epoch, index) if draws else None


class UnreadableRecord(InputError):
    """A record that cannot be read."""
