"""Seconds of a training step on 1, 2, ... ranks of this machine, and what they consist of."""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import replace_file
from resnest.gluon import distributed
from resnest.gluon.models import get_model
from resnest.gluon.nn import use_native
from resnest.gluon.tasks.classification import Classification, ClassificationConfig
from resnest.gluon.training.run.step import Step

__all__ = ['measure_cases', 'measure_in_job', 'measure_rank']

MEGABYTE = 2 ** 20


def measure_cases(command, cases, rounds, progress=lambda: None):
    """Measure the cases in turn, ``rounds`` times, each in fresh processes.

    ``cases`` are ``(ranks, threads, batch_size)``; ``command`` is a list that starts one rank, to which
    ``--batch-size N --result FILE`` is added. ``progress()`` is called after each. Returns a dict for each case: the
    medians of what :func:`measure_rank` returns. Raises InputError where a process fails.
    """
    runs = [[] for _ in cases]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for case, found in zip(cases, runs):
                found.append(_run(command, *case, Path(folder, 'result.json')))
                progress()
    return [{'ranks': ranks, 'threads': threads, 'batch_size': batch_size, 'parameters': found[0]['parameters'],
             **{name: median(run[name] for run in found) for name in found[0]}}
            for (ranks, threads, batch_size), found in zip(cases, runs)]


def _run(command, ranks, threads, batch_size, file):
    launcher = ['horovodrun', '-np', ranks, '-H', f'localhost:{ranks}'] if ranks > 1 else []
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}'     # horovodrun lies beside python
    result = subprocess.run([str(word) for word in [*launcher, *command, '--batch-size', batch_size, '--result', file]],
                            env={**os.environ, 'OMP_NUM_THREADS': str(threads), 'PATH': path},
                            capture_output=True, text=True)
    if result.returncode:
        raise InputError(f'measuring {ranks} rank(s) failed: {result.stderr.strip()[-600:]}')
    return json.loads(file.read_text())


def measure_in_job(model, batch_size, size, steps, path):
    """Join the job that a launcher started and write what :func:`measure_rank` returns on rank 0 to ``path``."""
    config = ClassificationConfig(model=model, batch_size=batch_size, label_smoothing=0.1)

    def make_step(job):
        net = get_model(model)
        net.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0))
        use_native(net)
        return Step(Classification(net, net, config, mx.cpu()), config, job, mx.cpu(), total=10 ** 6, warmup=10 ** 6)

    with distributed.joined() as job:
        found = measure_rank(make_step, job, distributed.Job(None), batch_size, size, 1000, steps)
        if job.rank == 0:
            replace_file(path, json.dumps(found))
        job.finish()


def measure_rank(make_step, job, alone, batch_size, size, classes, steps):
    """Seconds on this rank; a collective of all ranks.

    Parameters
    ----------
    make_step : callable
        ``make_step(job)`` gives a Step with a new network.
    job, alone : distributed.Job
        All ranks, and this one as if it were alone.
    batch_size, size, classes, steps : int
        Of the images, which are random; of the steps that are timed together.

    Returns a dict of seconds: ``step``; ``compute``, the same without exchange, while the other ranks compute too;
    ``exchange`` of all gradients when nothing else is done; ``round`` of one number and ``megabyte`` of 2^20 bytes;
    ``cpu``, processor time of a step on this rank. And ``parameters``, a number.
    """
    rng = np.random.default_rng(job.rank)
    batch = [(np.arange(batch_size), (rng.integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8),
                                      rng.integers(0, classes, batch_size)))]
    together, lonely = make_step(job), make_step(alone)
    million = np.zeros(MEGABYTE // 8)

    def timed(do, count, clock=time.perf_counter):
        job.total([0], 'start')
        start = clock()
        for number in range(count):
            do(number)
        mx.nd.waitall()
        job.total([0], 'end')
        return (clock() - start) / count

    def exchange(_):
        together.trainer.allreduce_grads()
        mx.nd.waitall()

    works = {'step': lambda number: together(batch, 0, number), 'compute': lambda number: lonely(batch, 0, number),
             'exchange': exchange, 'round': lambda _: job.total([0], 'round'),
             'megabyte': lambda _: job.total(million, 'megabyte')}
    found = {}
    for name, do in works.items():
        timed(do, 2)        # traced, allocated, negotiated
        found[name] = timed(do, steps)
    found['cpu'] = timed(works['step'], steps, time.process_time)
    found['parameters'] = sum(int(np.prod(param.shape)) for param in together.net.collect_params().values()
                              if param.grad_req != 'null')
    return found
