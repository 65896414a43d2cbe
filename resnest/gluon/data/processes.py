"""Batches made by worker processes, handed over in shared memory.

Threads share Python's lock, which decoding with AutoAugment holds for a quarter of its time: a few of them are as fast
as many. Processes share none. They are forked from a server that has done nothing but imports, never from the trainer
beside the working threads of mxnet and Horovod, whose locks a fork would leave locked.

The memory has no name (``memfd_create``): it does not lie in /dev/shm, which is small in containers, and it is gone
with the processes, however they end.
"""
import contextlib
import mmap
import os
import pickle
import signal
import sys
import threading
import traceback
import types
from multiprocessing import get_context, reduction, resource_tracker

import numpy as np

from resnest.errors import InputError
from resnest.threads import cores_of_rank

__all__ = ['Memory', 'made_by_processes', 'settled']

FEW = 4         # threads that Python's lock lets work beside each other
SLOTS = 2       # batches of a process at a time: one that is made, and one that is done or comes next
PATIENCE = 900  # seconds in which no batch takes so long
ALIGNED = 64    # bytes, for whatever the arrays hold
# What is sent to all processes of a job at once (Ctrl-C, a scheduler) is the trainer's, which still needs its batches.
TRAINERS = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}


def settled(workers):
    """``(number, 'thread' or 'process')`` of a loader's ``workers``: a number of threads, or a pair of these, each None
    where this rank's cores are to tell."""
    if isinstance(workers, int):
        return workers, 'thread'
    count, kind = workers
    cores = cores_of_rank()
    count = min(max(2, cores), 16) if count is None else count
    return count, kind or ('process' if min(count, cores) > FEW else 'thread')


def made_by_processes(make, batches, count):
    """Yield ``make(indices)`` for each of the ``batches``, in their order, by ``count`` processes ahead of time.

    ``make`` must be such that it can be pickled, and what it returns too; arrays in there are handed over in shared
    memory. What it raises is raised here. InputError where a process cannot be started, dies or does not answer, and
    where memory runs out.
    """
    workers, asked = [], 0
    try:
        for number in range(min(count, len(batches))):
            workers.append(_Worker(make, f'data worker {number + 1} of {count}'))
        for place in range(len(batches)):
            while asked < min(len(batches), place + SLOTS * len(workers)):
                workers[asked % len(workers)].ask(asked // len(workers) % SLOTS, batches[asked])
                asked += 1
            yield workers[place % len(workers)].answer(place // len(workers) % SLOTS, batches[place])
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process, as the one who asks it sees it."""

    def __init__(self, make, name):
        self._name, self._memories = name, [None] * SLOTS
        context = get_context('forkserver')
        context.set_forkserver_preload([type(getattr(make, '__self__', make)).__module__])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, theirs), daemon=True)
        try:
            with _undisturbed():
                self._process.start()
        except (OSError, EOFError) as error:
            self._pipe.close()
            raise InputError(f'{name} cannot be started ({getattr(error, "strerror", None) or error}); use fewer '
                             f'--num-workers, or --workers-kind thread') from None
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self._pipe.close()
            raise InputError(f'the data cannot be handed to processes ({error}); use --workers-kind thread') from None
        finally:
            theirs.close()

    def ask(self, slot, indices):
        with contextlib.suppress(ConnectionError):      # the answer tells
            self._pipe.send((slot, indices))

    def answer(self, slot, indices):
        try:
            if not self._pipe.poll(PATIENCE):
                raise InputError(f'{self._name} (process {self._process.pid}) has not answered for {PATIENCE} s, '
                                 f'{_at(indices)}: see whether its storage does, and whether it is stopped')
            kind, value = self._pipe.recv()
            if kind == 'new memory':
                self._memories[slot] = Memory(reduction.recv_handle(self._pipe))
                kind, value = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise InputError(f'{self._name} (process {self._process.pid}) died{self._reason()} {_at(indices)}; if '
                             f'memory ran out, use fewer --num-workers or a smaller --batch-size') from None
        if kind == 'raised':
            raise value
        if kind == 'defect':
            raise RuntimeError(f'in {self._name}:\n{value}')
        return self._memories[slot].read(value)

    def _reason(self):
        self._process.join(5)
        code = self._process.exitcode
        return '' if code is None else f' ({signal.Signals(-code).name if code < 0 else f"exit code {code}"})'

    def end(self):
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _at(indices):
    return f'at the batch of sample {int(indices[0])}' if len(indices) else 'at a batch'


_starting = threading.Lock()


@contextlib.contextmanager
def _undisturbed():
    """For the start of a process, and of the server that forks it, which take over what is set here: signals that are
    not theirs, and nothing of the program that runs here. One thread at a time."""
    with _starting:
        resource_tracker.ensure_running()       # it would let the signals through again when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TRAINERS)
        main = sys.modules['__main__']
        sys.modules['__main__'] = types.ModuleType('__main__')      # otherwise it would be run in there, as a module
        try:
            yield
        finally:
            sys.modules['__main__'] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(make, pipe):
    """The life of a process; it ends where nobody asks any more."""
    memories = [Memory() for _ in range(SLOTS)]
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            slot, indices = pipe.recv()
            try:
                sizes, new = memories[slot].write(make(indices))
                if new:
                    pipe.send(('new memory', None))
                    reduction.send_handle(pipe, memories[slot].descriptor, None)
                pipe.send(('made', sizes))
            except InputError as error:
                pipe.send(('raised', error))
            except Exception:
                pipe.send(('defect', traceback.format_exc()))


class Memory:
    """Shared memory for one object at a time, by its descriptor; without one it is made, anew where it is too small."""

    def __init__(self, descriptor=None):
        self.descriptor, self._map = descriptor, None
        if descriptor is not None:
            self._map = mmap.mmap(descriptor, os.fstat(descriptor).st_size)

    def __del__(self):
        if self.descriptor is not None:
            os.close(self.descriptor)

    def write(self, value):
        """Put an object there; returns the sizes of its parts, for :meth:`read`, and whether the memory is new."""
        buffers = []
        head = pickle.dumps(value, 5, buffer_callback=buffers.append)
        parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
        sizes = [part.nbytes for part in parts]
        needed = _places(sizes)[-1]
        new = self._map is None or len(self._map) < needed
        if new:
            self._make(needed + needed // 8)
        for part, start in zip(parts, _places(sizes)):
            np.frombuffer(self._map, np.uint8, part.nbytes, start)[:] = part
        return sizes, new

    def _make(self, size):
        self.__del__()
        self.descriptor, self._map = os.memfd_create('batch'), None
        try:
            os.posix_fallocate(self.descriptor, 0, size)        # now, since a page that is missing later kills
            self._map = mmap.mmap(self.descriptor, size)
        except (OSError, MemoryError) as error:
            raise InputError(f'there is no shared memory for a batch of {size >> 20} MB ({error}); use fewer '
                             f'--num-workers, a smaller --batch-size, or --workers-kind thread') from None

    def read(self, sizes):
        """A copy of the object that was written, which is faster than making it by far."""
        head, *rest = (np.frombuffer(self._map, np.uint8, size, start).copy() if size else b''
                       for size, start in zip(sizes, _places(sizes)))
        return pickle.loads(head, buffers=rest)


def _places(sizes):
    """Where parts of these sizes begin, and where all of them end."""
    places = [0]
    for size in sizes:
        places.append(places[-1] + -(-size // ALIGNED) * ALIGNED)
    return places
