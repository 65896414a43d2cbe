"""A task that the package does not know gets what the trainer promises: a regression on digits (toy_task.py)."""
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.training import Task
from resnest.gluon.training.reporting.figures import Figure, Figures
from resnest.gluon.training.run import checkpoint

from ..conftest import ROOT, command, horovodrun, needs_horovod

WORDS = ('--model', 'dropping', '--num-epochs', 6, '--warmup-epochs', 1, '--batch-size', 16, '--lr', 0.004,
         '--wd', 0.001, '--ema-decay', 0.9, '--clip-gradient', 10, '--save-frequency', 1, '--save-steps', 7)


def program(folder, *words, ranks=1):
    python = sys.executable, '-W', 'ignore', ROOT / 'tests/training/toy_task.py'
    return [str(word) for word in (*horovodrun(ranks), *python, '--save-dir', folder, *WORDS, *words)]


def run(folder, *words, ranks=1):
    result = command(*program(folder, *words, ranks=ranks), PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rows(folder):
    times = ('time', 'seconds', 'images_per_second', 'waiting')
    lines = (folder / 'log.jsonl').read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in times} for line in lines]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return folder, run(folder)


def test_it_learns_and_is_shown(whole):
    folder, printed = whole
    found = rows(folder)
    assert [row['epoch'] for row in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1]['error'] < 1.8 < found[0]['error']       # of the numbers 0 to 9; a guess is 2.5 off
    assert f"train {found[-1]['train_error']:.2f}  val {found[-1]['error']:.2f}" in printed
    summary = json.loads((folder / 'summary.json').read_text())
    assert summary['error'] == min(row['error'] for row in found)
    assert (summary['ranks'], summary['seen']) == (1, 297)
    assert (folder / 'curves.png').stat().st_size > 10_000
    assert list((folder / 'tensorboard').iterdir())


def test_stopped_by_a_signal_it_goes_on_to_the_same_end(whole, tmp_path):
    running = subprocess.Popen(program(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    while running.poll() is None and not checkpoint.found(tmp_path):
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    printed, _ = running.communicate(timeout=60)
    assert running.returncode == 75, printed
    assert 'going on from' in run(tmp_path, '--resume', 'auto')
    assert (tmp_path / 'best.params').read_bytes() == (whole[0] / 'best.params').read_bytes()
    assert rows(tmp_path) == rows(whole[0])


@pytest.mark.slow
@needs_horovod
def test_two_ranks_compute_what_one_does(tmp_path):
    run(tmp_path / 'one', '--model', 'plain')
    run(tmp_path / 'two', '--model', 'plain', '--batch-size', 8, '--lr', 0.002, ranks=2)
    for one, two in zip(rows(tmp_path / 'one'), rows(tmp_path / 'two')):
        assert two == pytest.approx(one, rel=1e-3)


def test_less_may_be_better():
    figures = Figures((Figure('error', 'error'),), best='error', more_is_better=False)
    assert figures.better(1, 2)
    assert not figures.better(2, 1)
    assert Figures((), 'top1').better(2, 1)


def test_a_task_without_methods():
    task = Task('network', 'twin')
    for call in (lambda: task.batches(0, 0), lambda: task.prepare([], None, 0, None), lambda: task.loss(None, None),
                 lambda: task.evaluate(None), lambda: task.validation_figures({})):
        with pytest.raises(NotImplementedError):
            call()
    assert issubclass(InputError, ValueError)
    assert np.isscalar(task.decay(type('Param', (), {'name': 'dense0_weight'})))
