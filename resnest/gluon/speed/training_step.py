"""Seconds of a training step on 1, 2, ... workers of this machine, and what they consist of."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from resnest.errors import InputError

__all__ = ['measure_cases', 'measure_worker']

MEGABYTE = 2 ** 20


def measure_cases(command, cases, rounds, progress=lambda: None):
    """Measure the cases in turn, ``rounds`` times, each in fresh processes.

    ``cases`` are ``(workers, threads, batch_size)``; ``command`` is a list that starts one worker, to which
    ``--batch-size N --worker FILE`` is added. ``progress()`` is called after each. Returns a dict a case: the medians
    of what :func:`measure_worker` returns. Raises InputError where a process fails.
    """
    runs = [[] for _ in cases]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for case, found in zip(cases, runs):
                found.append(_run(command, *case, Path(folder, 'result.json')))
                progress()
    return [{'workers': workers, 'threads': threads, 'batch_size': batch_size, 'parameters': found[0]['parameters'],
             **{name: median(run[name] for run in found) for name in found[0]}}
            for (workers, threads, batch_size), found in zip(cases, runs)]


def _run(command, workers, threads, batch_size, file):
    launcher = ['horovodrun', '-np', workers, '-H', f'localhost:{workers}'] if workers > 1 else []
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}'     # horovodrun lies beside python
    result = subprocess.run([str(word) for word in [*launcher, *command, '--batch-size', batch_size, '--worker', file]],
                            env={**os.environ, 'OMP_NUM_THREADS': str(threads), 'PATH': path},
                            capture_output=True, text=True)
    if result.returncode:
        raise InputError(f'measuring {workers} worker(s) failed: {result.stderr.strip()[-600:]}')
    return json.loads(file.read_text())


def measure_worker(make_step, workers, alone, batch_size, size, classes, steps):
    """Seconds on this worker; a meeting of all workers.

    Parameters
    ----------
    make_step : callable
        ``make_step(workers)`` gives a Step with a new network.
    workers, alone : distributed.Workers
        All of them, and this one as if it were alone.
    batch_size, size, classes, steps : int
        Of the images, which are random; of the steps that are timed together.

    Returns a dict of seconds: ``step``; ``compute``, the same without exchange, while the other workers compute too;
    ``exchange`` of all gradients when nothing else is done; ``round`` of one number and ``megabyte`` of 2^20 bytes;
    ``cpu``, processor time of a step on this worker. And ``parameters``, a number.
    """
    import mxnet as mx
    rng = np.random.default_rng(workers.rank)
    batch = [(np.arange(batch_size), rng.integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8),
              rng.integers(0, classes, batch_size))]
    together, lonely = make_step(workers), make_step(alone)
    million = np.zeros(MEGABYTE // 8)

    def timed(do, count, clock=time.perf_counter):
        workers.total([0], 'start')
        start = clock()
        for number in range(count):
            do(number)
        mx.nd.waitall()
        workers.total([0], 'end')
        return (clock() - start) / count

    def exchange(_):
        together.trainer.allreduce_grads()
        mx.nd.waitall()

    works = {'step': lambda number: together(batch, 0, number), 'compute': lambda number: lonely(batch, 0, number),
             'exchange': exchange, 'round': lambda _: workers.total([0], 'round'),
             'megabyte': lambda _: workers.total(million, 'megabyte')}
    found = {}
    for name, do in works.items():
        timed(do, 2)        # traced, allocated, negotiated
        found[name] = timed(do, steps)
    found['cpu'] = timed(works['step'], steps, time.process_time)
    found['parameters'] = sum(int(np.prod(param.shape)) for param in together.net.collect_params().values()
                              if param.grad_req != 'null')
    return found
