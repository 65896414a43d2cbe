"""A step's batches, fetched and copied to the device while the step before is computed."""
import itertools
import time

__all__ = ['Ahead']


class Ahead:
    """The batches of a loader (:class:`resnest.gluon.data.SampleLoader` has its protocol), ``count`` for each step.

    ``prepare(batches)`` copies those of a step, ``[(indices, batch)]``, to the device. ``waited`` are the seconds until
    batches were there that were asked for; beside them the device may well have computed.
    """

    def __init__(self, loader, count, prepare):
        self.waited = 0.0
        self._loader, self._count, self._prepare = loader, count, prepare
        self._source = iter(zip(loader.batches, loader))
        self._fetched = None

    def take(self):
        """The next step's batches, prepared, and how many records had been left out by their end."""
        if self._fetched is None:
            self.fetch()
        fetched, self._fetched = self._fetched, None
        return fetched

    def fetch(self):
        """Have them there when :meth:`take` asks for them."""
        start = time.perf_counter()
        batches = list(itertools.islice(self._source, self._count))
        self.waited += time.perf_counter() - start
        self._fetched = self._prepare(batches), len(self._loader.skipped)
