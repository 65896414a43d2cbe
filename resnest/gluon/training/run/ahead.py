"""A step's batches, fetched and copied to the device while the step before is computed."""
import itertools
import threading
import time

__all__ = ['Ahead', 'Epochs']


class Ahead:
    """The batches of a loader (:class:`resnest.gluon.data.SampleLoader` has its protocol), ``count`` for each step.

    ``prepare(batches)`` copies those of a step, ``[(indices, batch)]``, to the device. ``waited`` are the seconds until
    batches were there that were asked for; beside them the device may well have computed.
    """

    def __init__(self, loader, count, prepare):
        self.waited = 0.0
        self._loader, self._count, self._prepare = loader, count, prepare
        self._made = iter(loader)
        self._source = zip(loader.batches, self._made)
        self._fetched = self._thread = self._begun = None

    def start(self):
        """Begin with the first step's batches beside what this thread does; what goes wrong there :meth:`take` raises.

        They are copied to the device when they are asked for, by the thread that asks.
        """
        def work():
            try:
                self._begun = self._batches(), None
            except BaseException as error:      # the thread that takes them raises it
                self._begun = None, error

        self._thread = threading.Thread(target=work, name='first batches', daemon=True)
        self._thread.start()

    def take(self):
        """The next step's batches, prepared, and how many records had been left out by their end."""
        if self._fetched is None:
            self.fetch()
        fetched, self._fetched = self._fetched, None
        return fetched

    def fetch(self):
        """Have them there when :meth:`take` asks for them."""
        start = time.perf_counter()
        batches = self._from_thread() if self._thread else self._batches()
        self.waited += time.perf_counter() - start
        self._fetched = self._prepare(batches), len(self._loader.skipped)

    def close(self):
        """End what makes the batches, threads or processes; what was begun is waited for first."""
        if self._thread:
            self._thread.join()
            self._thread = None
        close = getattr(self._made, 'close', None)      # any iterator will do for a loader
        if close:
            close()

    def _batches(self):
        return list(itertools.islice(self._source, self._count))

    def _from_thread(self):
        self._thread.join()
        (batches, error), self._thread, self._begun = self._begun, None, None
        if error is not None:
            raise error
        return batches


class Epochs:
    """The batches of a task's epochs by the recipe ``config``, which ``step`` (a :class:`.step.Step`) prepares."""

    def __init__(self, task, config, step):
        self._task, self._count, self._step, self._end = task, config.accumulate, step, config.num_epochs
        self._begun = None      # (epoch, Ahead)

    def begin(self, epoch):
        """Start what makes the batches of an epoch (from 0), if there is one, before :meth:`ahead` asks for it."""
        if epoch < self._end:
            self._begun = epoch, self._new(epoch, 0)
            self._begun[1].start()

    def ahead(self, epoch, done):
        """An :class:`Ahead` of the epoch's batches after ``done`` steps; what was begun is given once."""
        if self._begun and not done and self._begun[0] == epoch:
            (_, begun), self._begun = self._begun, None
            return begun
        self.close()
        return self._new(epoch, done)

    def close(self):
        """End what was begun and not asked for: Python would wait for its processes for ever."""
        if self._begun:
            (_, begun), self._begun = self._begun, None
            begun.close()

    def _new(self, epoch, done):
        step, loader = self._step, self._task.batches(epoch, done * self._count)
        return Ahead(loader, self._count, lambda batches: step.prepare(batches, epoch))
