"""Runs of little_run.py and of the tasks' commands in fresh processes, and what they leave."""
import json
import sys

import numpy as np

from ..conftest import ROOT, command, horovodrun, run_here
from .little_run import main

# As resnest train-{task}, but that the second rank is killed at its third step.
KILLED = """
import os, signal, sys
from resnest.commands.{task} import train
from resnest.gluon.tasks.{task}.training import {name}

steps, prepare = [], {name}.prepare


def prepare_or_die(task, *batch):
    steps.append(batch)
    if task._job.rank == 1 and len(steps) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare(task, *batch)


{name}.prepare = prepare_or_die
train.main(sys.argv[1:])
"""


def little_run(folder, *words, ranks=1, fresh=False, **settings):
    """Train into ``folder`` by ``ranks`` processes; returns the finished process. One rank trains in this process,
    which spares the start of another, unless it should be ``fresh``."""
    if ranks == 1 and not fresh:
        return run_here(main, 'little_run.py', '--save-dir', folder, *words)
    return command(*program(folder, *words, ranks=ranks), PYTHONPATH=str(ROOT), **settings)


def program(folder, *words, ranks=1):
    return [*horovodrun(ranks), sys.executable, '-W', 'ignore', ROOT / 'tests/training/little_run.py',
            '--save-dir', folder, *words]


def go_on_after_a_kill(task, folder, *words):
    """Train by two ranks of ``resnest train-{task} {words}`` into ``folder/run``, and into ``folder/killed``, where a
    rank is killed and two others go on: both end with the same bytes. ``task`` is the name of the task's room."""
    def train(name, *start):
        return command(*horovodrun(2), sys.executable, *start, *words, '--save-dir', folder / name, '--sync-bn',
                       '--save-steps', 1, '--keep', 9, '--resume', 'auto', cwd=ROOT)

    program = '-m', 'resnest', f'train-{task}'
    result = train('run', *program)
    assert result.returncode == 0, result.stdout + result.stderr
    killed = train('killed', '-c', KILLED.format(task=task, name=task.capitalize()))
    assert 'status code 137' in killed.stdout + killed.stderr
    assert not (folder / 'killed/summary.json').exists()
    result = train('killed', *program)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'going on from' in result.stdout
    assert_same_end(folder / 'killed', folder / 'run')


def last_arrays(folder):
    """The arrays of the newest checkpoint, but for times and the names of folders."""
    path = max(folder.glob('checkpoint-*.npz'))
    with np.load(path) as stored:
        found = {name: stored[name] for name in stored.files if name not in ('state', 'sha256')}
        names = json.loads(stored['state'].tobytes())['counters']
    counters = found.pop('ranks/counters')
    return {**found, **{f'counter {name}': counters[:, place] for place, name in enumerate(names)
                        if name not in ('waited', 'training')}}


def assert_same_end(folder, wanted):
    """Parameters, optimizer, averages, statistics of every rank and the log, bit for bit."""
    found, expected = last_arrays(folder), last_arrays(wanted)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (folder / 'best.params').read_bytes() == (wanted / 'best.params').read_bytes()
    assert log(folder) == log(wanted)


def writer(path):
    """A function that writes a text to ``path`` and returns the path."""
    def write(text):
        path.write_text(text)
        return path
    return write


def log(folder):
    """The rows of the log without times."""
    times = ('time', 'seconds', 'images_per_second', 'waiting')
    lines = (folder / 'log.jsonl').read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in times} for line in lines]
