"""A task that the package does not know gets what the trainer promises: a regression on digits (toy_task.py)."""
import hashlib
import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from resnest.errors import InputError
from resnest.gluon.training import Task
from resnest.gluon.training.reporting.figures import Figure, Figures
from resnest.gluon.training.run import checkpoint

from ..conftest import ROOT, assert_refused, command, horovodrun, needs_horovod, run_here
from . import toy_task
from .runs import assert_same_end
from .runs import log as rows

WORDS = ('--model', 'dropping', '--num-epochs', 6, '--warmup-epochs', 1, '--batch-size', 16, '--lr', 0.004,
         '--wd', 0.001, '--ema-decay', 0.9, '--clip-gradient', 10, '--save-frequency', 1, '--save-steps', 7)


def program(folder, *words, ranks=1):
    python = sys.executable, '-W', 'ignore', ROOT / 'tests/training/toy_task.py'
    return [str(word) for word in (*horovodrun(ranks), *python, '--save-dir', folder, *WORDS, *words)]


def run(folder, *words, ranks=1):
    result = command(*program(folder, *words, ranks=ranks), PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def here(folder, *words):
    return run_here(toy_task.main, 'toy_task.py', '--save-dir', folder, *WORDS, *words)


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
    assert_same_end(tmp_path, whole[0])


SELDOM = ('--save-frequency', 100, '--save-steps', 0)


@pytest.mark.parametrize('words, name', [
    (('--stop', 2, 11), 'checkpoint-0002-000012.npz'),
    (('--stop-evaluating', 5), 'checkpoint-0005-000020.npz')], ids=str)
def test_stopped_it_loses_no_step(whole, tmp_path, words, name):
    """In the middle of an epoch, whose bad records are counted once, and while the network is evaluated."""
    stopped = here(tmp_path, *SELDOM, *words)
    assert stopped.returncode == 75, stopped.stderr
    assert [path.name for path in checkpoint.found(tmp_path)] == [name]
    assert len(rows(tmp_path)) == words[1]
    result = here(tmp_path, *SELDOM, '--resume', 'auto')
    assert result.returncode == 0, result.stderr
    assert f'going on from {tmp_path / name}' in result.stdout
    assert [row['skipped'] for row in rows(tmp_path)] == [8] * 6
    assert_same_end(tmp_path, whole[0])


def test_the_best_weights_are_those_of_the_best_figure(whole, tmp_path):
    """A checkpoint tells their hash (test_checkpoint.py: any others are none); nobody else is told."""
    here(tmp_path, *SELDOM, '--stop', 2, 5)
    (path,) = checkpoint.found(tmp_path)
    _, state = checkpoint.load(path.read_bytes(), path)
    assert state['best'].pop('sha256') == hashlib.sha256((tmp_path / 'best.params').read_bytes()).hexdigest()
    assert state['best']['error'] == min(row['error'] for row in rows(tmp_path))
    assert 'sha256' not in str(rows(tmp_path)) + (whole[0] / 'summary.json').read_text()


def test_the_best_weights_are_described(whole, tmp_path):
    """By what the task tells, of just these weights; what a run that was killed had no time to write, it writes next.
    Killed between the two files, it leaves the description of weights that were there before: their hash tells."""
    here(tmp_path, *SELDOM, '--stop', 2, 5)
    written = (tmp_path / 'best.json').read_bytes()
    told = json.loads(written)
    assert told.pop('sha256') == hashlib.sha256((tmp_path / 'best.params').read_bytes()).hexdigest()
    best = min(rows(tmp_path), key=lambda row: row['error'])
    assert told.pop('figures') == {name: best[name] for name in ('epoch', 'error', 'val_loss', 'seen')}
    assert told.pop('versions')['mxnet'] == '1.9.1'
    assert told == {'task': 'regression', 'digits': [0, 9]}
    (tmp_path / 'best.json').write_text('of others')
    assert here(tmp_path, *SELDOM, '--resume', 'auto', '--stop', 2, 2).returncode == 75
    assert (tmp_path / 'best.json').read_bytes() == written
    (tmp_path / 'best.json').unlink()
    assert here(tmp_path, *SELDOM, '--resume', 'auto').returncode == 0
    assert (tmp_path / 'best.json').read_bytes() == (whole[0] / 'best.json').read_bytes()


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path):
    result = here(tmp_path, '--empty', 2, '--num-epochs', 3)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / 'summary.json').read_text())['epoch'] == 3


def test_what_was_left_without_a_checkpoint_is_not_written_over(tmp_path):
    for number, name in enumerate(('best.params', 'log.jsonl')):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text('of an earlier run')
        assert_refused(here(folder, '--num-epochs', 1), folder, 'holds an earlier run')
        assert (folder / name).read_text() == 'of an earlier run'
        result = here(folder, '--num-epochs', 1, '--resume', 'auto')
        assert result.returncode == 0, result.stderr
        assert len(rows(folder)) == 1


@pytest.mark.slow
@needs_horovod
def test_two_ranks_compute_what_one_does(tmp_path):
    run(tmp_path / 'one', '--model', 'plain')
    run(tmp_path / 'two', '--model', 'plain', '--batch-size', 8, '--lr', 0.002, ranks=2)
    for one, two in zip(rows(tmp_path / 'one'), rows(tmp_path / 'two')):
        assert two == pytest.approx(one, rel=1e-3)


def test_less_may_be_better():
    figures = Figures((Figure('error', 'error', best='lowest'), Figure('hits', 'hits', best='highest'),
                       Figure('train_hits', 'hits/train')), best='error')
    assert figures.better(1, 2)
    assert not figures.better(2, 1)
    assert figures.by(None) == figures
    assert figures.by('hits').better(2, 1)
    with pytest.raises(InputError, match='--best must be one of error, hits, got train_hits'):
        figures.by('train_hits')


@pytest.mark.parametrize('more', ['highest', 'lowest'])
@pytest.mark.parametrize('none', [float('nan'), float('inf'), -float('inf')])
def test_what_is_not_finite_gives_way(more, none):
    better = Figures((Figure('top1', 'top1', best=more),), 'top1').better
    assert [better(1, other) for other in (None, none)] == [True, True]
    assert [better(none, other) for other in (None, 1, none)] == [False, False, False]


def test_a_task_without_methods():
    task = Task('network', 'twin')
    for call in (lambda: task.batches(0, 0), lambda: task.prepare([], None, 0, None), lambda: task.loss(None, None),
                 lambda: task.evaluate(None), lambda: task.validation_figures({})):
        with pytest.raises(NotImplementedError):
            call()
    assert [task.decay(SimpleNamespace(name=name)) for name in ('dense0_weight', 'batchnorm0_gamma')] == [1.0, 0.0]
