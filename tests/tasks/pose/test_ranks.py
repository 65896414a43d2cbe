"""Pose over two ranks: killed, resumed to the same bytes, verified exactly, and started from other weights."""
import shutil
import sys

import pytest

from ...conftest import ROOT, command, horovodrun, needs_horovod, read_json
from ...training.runs import assert_same_end
from .little_people import SMALL, write

# As resnest train-pose, but that the second rank is killed at its third step.
KILLED = """
import os, signal, sys
from resnest.commands.pose import train
from resnest.gluon.tasks.pose.training import Pose

steps, prepare = [], Pose.prepare


def prepare_or_die(task, *batch):
    steps.append(batch)
    if task._job.rank == 1 and len(steps) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare(task, *batch)


Pose.prepare = prepare_or_die
train.main(sys.argv[1:])
"""


@pytest.mark.slow
@needs_horovod
def test_two_ranks_train_together_are_killed_and_go_on_and_verify_exactly(tmp_path):
    data, program = write(tmp_path / 'scenes'), [sys.executable, '-m', 'resnest']

    def train(folder, *start):
        words = ('--data-dir', data, '--save-dir', folder, '--model-options', *SMALL, '--num-epochs', 2,
                 '--batch-size', 2, '--no-cuda', '-j', 1, '--sync-bn', '--save-steps', 1, '--keep', 9,
                 '--resume', 'auto')
        return command(*horovodrun(2), *start, *words, cwd=ROOT)

    result = train(tmp_path / 'run', *program, 'train-pose')
    assert result.returncode == 0, result.stdout + result.stderr
    killed = train(tmp_path / 'killed', sys.executable, '-c', KILLED)
    assert 'status code 137' in killed.stdout + killed.stderr
    assert not (tmp_path / 'killed/summary.json').exists()
    result = train(tmp_path / 'killed', *program, 'train-pose')
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'going on from' in result.stdout
    assert_same_end(tmp_path / 'killed', tmp_path / 'run')
    found = []
    for ranks in (1, 2):
        path = tmp_path / f'{ranks}.json'
        result = command(*horovodrun(ranks), *program, 'verify-pose', '--data-dir', data, '--resume',
                         tmp_path / 'run/best.params', '--batch-size', 1, '--no-cuda', '--json', path, cwd=ROOT)
        assert result.returncode == 0, result.stdout + result.stderr
        found.append(read_json(path))
    assert found[0] == found[1]
    assert found[0]['people'] == read_json(tmp_path / 'run/summary.json')['seen']

    shutil.copytree(tmp_path / 'run', tmp_path / 'again')
    result = train(tmp_path / 'again', *program, 'train-pose', '--eval-only')
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{read_json(tmp_path / 'run/summary.json')['ap']:.2f}" in result.stdout
