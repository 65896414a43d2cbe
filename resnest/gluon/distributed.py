"""Horovod, and one process where there is none: the only file that imports it, but for ``resnest env``."""
import contextlib
import os
import platform
import threading
import time
import zlib
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest import launchers
from resnest.errors import InputError, SharedError, StartAgain, tell_of_crashes
from resnest.gluon import rendezvous
from resnest.gluon.mxnet_private import structural_parameters

__all__ = ['Job', 'STATISTICS', 'current', 'joined']

# How the names of BatchNorm's running statistics end: each rank has its own.
STATISTICS = ('running_mean', 'running_var')
AVERAGING_NCCL = 21000      # 2.10, as nccl_built() has it


@contextlib.contextmanager
def joined(remedy='start again'):
    """The :class:`Job` that a launcher started, otherwise that of one process alone; every collective belongs inside.

    Raises InputError where Horovod is missing or joins fewer ranks than the launcher started, and StartAgain where
    another rank has gone: what MXNet says then becomes a line that names it, and ``remedy``. Where that one left for an
    InputError of its own it would leave again, and so it is an InputError here too.
    """
    global _current
    tell_of_crashes()
    job, processes, before = _start(), None, _current
    try:
        _current = job
        processes = job.processes()
        yield job
    except mx.MXNetError as error:
        if job.size == 1 or not any(sign in str(error) for sign in LOST):
            raise
        left = rendezvous.who_left()
        if left is not None:
            raise InputError(f'rank {left} has ended for an error, which its own message tells; this is rank '
                             f'{job.rank}') from None
        raise StartAgain(f'{_describe_lost(processes, job.rank)}; {remedy}') from None
    except InputError as error:
        if job.size > 1 and not isinstance(error, (SharedError, StartAgain)):
            job.leave()
        raise
    finally:
        _current = before


def current():
    """The :class:`Job` that this process has joined, otherwise that of one process alone."""
    return _current


def _start():
    task = launchers.current()
    if task is None:
        return Job(None)
    try:
        import horovod.mxnet as horovod
    except ImportError as error:
        raise SharedError(f'{task.launcher.name} started this process as one of {task.size}, but Horovod cannot be '
                          f'imported ({error}); run make setup, or start a single process') from None
    if not mx.context.num_gpus():
        # Its own, 1 ms, takes a third of a core from the ranks that compute on it.
        os.environ.setdefault('HOROVOD_CYCLE_TIME', '5')
    if task.launcher.name != 'horovodrun' and not _joined_by_mpi(task, horovod):
        rendezvous.meet(task)
    horovod.init()
    job = Job(horovod)
    if job.size != task.size:
        raise SharedError(f'{task.launcher.name} started {task.size} tasks, but Horovod joins {job.size}: unset the '
                          f'HOROVOD_ variables, or start them by horovodrun')
    return job


def _joined_by_mpi(task, horovod):
    """Whether MPI joins the ranks: where HOROVOD_CONTROLLER says so, or Horovod has it and its launcher was used."""
    chosen = os.environ.get('HOROVOD_CONTROLLER')
    if chosen == 'mpi' and not horovod.mpi_built():
        raise SharedError('HOROVOD_CONTROLLER=mpi, but Horovod was built without MPI: unset it, or build Horovod with '
                          'HOROVOD_WITH_MPI=1')
    return chosen == 'mpi' if chosen else task.launcher.mpi and horovod.mpi_built()


PARTING = 2     # seconds

# What Horovod and Gloo say then.
LOST = ('Horovod has been shut down', 'Connection reset by peer', 'Connection closed by peer', 'Broken pipe',
        'Read error', 'Write error', 'Timed out waiting')


def _describe_lost(processes, rank):
    deadline = time.monotonic() + 3
    while processes and time.monotonic() < deadline:      # the connection may close before the process has gone
        gone = [other for other, (host, pid) in enumerate(processes) if host == processes[rank][0] and not _alive(pid)]
        if gone:
            names = ' and '.join(f'rank {other} (process {processes[other][1]})' for other in gone)
            return f'{names} died; this is rank {rank}'
        time.sleep(0.1)
    return f'another rank stopped, and its own message or the last of the launcher names it; this is rank {rank}'


def _alive(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


class Job:
    """The ranks that work together: ``rank`` (this one) of ``size``, ``local_rank`` of ``local_size`` on this machine.

    Every method but :meth:`leave` is collective: all ranks call it, in the same order. None of them uses Horovod's own
    broadcast, which reads the name of what it has sent when another thread may have freed it: once in some ten thousand
    calls the process dies (Horovod 0.28.1, ``EnqueueTensorBroadcast`` in operations.cc).
    """

    def __init__(self, horovod):
        self._horovod = horovod
        self.rank = horovod.rank() if horovod else 0
        self.size = horovod.size() if horovod else 1
        self.local_rank = horovod.local_rank() if horovod else 0
        self.local_size = horovod.local_size() if horovod else 1

    def __repr__(self):
        return (f'Job(rank={self.rank}, size={self.size}, local_rank={self.local_rank}, '
                f'local_size={self.local_size})')

    def trainer(self, params, optimizer, fp16_compression=False):
        """A Trainer that averages gradients over the ranks, which all get rank 0's parameters first."""
        if self.size == 1:
            return mx.gluon.Trainer(params, optimizer, kvstore=None)
        for name, param in params.items():
            first = param.data() if self.rank == 0 else mx.nd.zeros_like(param.data())
            param.set_data(self.add_up(first, f'first.{name}'))
        if not fp16_compression:
            return self._horovod.DistributedTrainer(params, optimizer)
        # Divided before they are added, since the sum over many ranks may be more than float16 holds, and once: NCCL
        # divides by itself from 2.10 on, and a division before that one would lose small gradients.
        divisor = 1.0 if self._horovod.nccl_built() >= AVERAGING_NCCL else float(self.size)
        return self._horovod.DistributedTrainer(params, optimizer, compression=self._horovod.Compression.fp16,
                                                gradient_predivide_factor=divisor)

    def total(self, values, name):
        """The sum of a list of numbers over the ranks, as float64; counts stay exact."""
        values = np.asarray(values, dtype=np.float64)
        if self.size == 1:
            return values
        mine = mx.nd.array(values, dtype='float64')
        return self._horovod.allreduce(mine, average=False, name=name).asnumpy()

    def totals(self, values, name):
        """The sums of a dict of numbers and arrays over the ranks: the same keys, with float64 of the same shapes."""
        parts = [np.asarray(value, dtype=np.float64) for value in values.values()]
        summed = self.total(np.concatenate([part.ravel() for part in parts]), name)
        ends = np.cumsum([part.size for part in parts])[:-1]
        return {key: piece.reshape(part.shape)[()] for key, part, piece in zip(values, parts, np.split(summed, ends))}

    def add_up(self, array, name):
        """The sum of an NDArray over the ranks, of the same shape and type; returns before it is there, and may be
        called on any thread. Sums of one name must be asked for in the same order on all ranks."""
        return array if self.size == 1 else self._horovod.allreduce(array, average=False, name=name)

    def gather(self, value, name):
        """Every rank's whole number, in the order of ranks."""
        return self.gather_rows(np.array([value], dtype=np.int64), name)[:, 0].tolist()

    def processes(self):
        """``(host, process id)`` of each rank; hosts as numbers that are the same on one machine."""
        host, pid = zlib.crc32(platform.node().encode()), os.getpid()
        return list(zip(self.gather(host, 'hosts'), self.gather(pid, 'processes')))

    def gather_rows(self, vector, name):
        """Every rank's vector as a row of an array ``(size, n)``, in the order of ranks."""
        if self.size == 1:
            return vector[None]
        mine = mx.nd.array(vector[None], dtype=vector.dtype)
        return self._horovod.allgather(mine, name=name).asnumpy()

    def gather_bytes(self, data, name):
        """Every rank's bytes, of any length, in the order of ranks."""
        if self.size == 1:
            return [data]
        ends = np.cumsum([length + 1 for length in self.gather(len(data), f'{name} sizes')])
        mine = mx.nd.array(np.frombuffer(data + b'.', dtype=np.uint8), dtype='uint8')      # mxnet has no empty arrays
        joined = self._horovod.allgather(mine, name=name).asnumpy()
        return [part[:-1].tobytes() for part in np.split(joined, ends[:-1])]

    def agree(self, name, value):
        """Raise InputError on all ranks where a whole number is not the same on each."""
        found = self.gather(value, f'agree on {name}')
        if len(set(found)) > 1:
            raise SharedError(f'the ranks disagree on the {name}: {found} in the order of ranks; give each the same '
                             f'data and options, or use --sharding local')

    def from_first(self, make, name):
        """What ``make()`` returns on rank 0 (bytes or None), on every rank.

        Its InputError or OSError is raised on all of them, so that none waits for another that has left.
        """
        if self.size == 1:
            return make()
        status, data = 0, b''
        if self.rank == 0:
            try:
                made = make()
                status, data = (1, b'') if made is None else (0, made)
            except (InputError, OSError) as error:
                status, data = 2, str(error).encode()
        status = self.gather(status, f'{name} status')[0]
        data = self.gather_bytes(data, name)[0]
        if status == 2:
            raise SharedError(data.decode())
        return None if status == 1 else data

    def average_statistics(self, net):
        """Average BatchNorm's running statistics over the ranks, in place."""
        if self.size == 1:
            return
        for name, param in structural_parameters(net).items():
            if name.endswith(STATISTICS):
                param.set_data(self._horovod.allreduce(param.data(), average=True, name=f'statistics.{name}'))
        mx.nd.waitall()

    def leave(self):
        """Tell the other ranks that this one ends for an error with which it would end again; only this rank calls it.

        Where what they ask ends with this process, it waits until they have asked.
        """
        rendezvous.leave(self.rank)
        if rendezvous.serves():
            stop = threading.Thread(target=self._horovod.shutdown, daemon=True)      # which ends what they wait for
            stop.start()
            stop.join(PARTING)
            time.sleep(PARTING)

    def finish(self):
        """Wait for the other ranks, so that none leaves while another still needs it."""
        mx.nd.waitall()
        self.total([1], 'finish')


_current = Job(None)
