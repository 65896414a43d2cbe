"""A task that the package does not know gets what the trainer promises: a regression on digits (toy_task.py)."""
import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from resnest.errors import InputError, StartAgain
from resnest.gluon.training import Task, TrainConfig, in_job
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


@pytest.mark.parametrize('words, name, code', [
    (('--stop', 2, 11, '--signal', 'SIGUSR1'), 'checkpoint-0002-000012.npz', 75),
    (('--stop-evaluating', 5, '--signal', 'SIGINT'), 'checkpoint-0005-000020.npz', 130)], ids=str)
def test_stopped_it_loses_no_step(whole, tmp_path, words, name, code):
    """In the middle of an epoch, whose bad records are counted once, and while the network is evaluated."""
    stopped = here(tmp_path, *SELDOM, *words)
    assert stopped.returncode == code, stopped.stderr
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


def test_a_time_limit_ends_a_part_of_a_run(tmp_path):
    ended = here(tmp_path, *SELDOM, '--time-limit', 1e-6)
    assert ended.returncode == 75
    assert 'stopped by --time-limit after 1 steps of epoch 1; --resume auto goes on' in ended.stdout
    assert [path.name for path in checkpoint.found(tmp_path)] == ['checkpoint-0000-000001.npz']


STILL = ('--lr', 0, '--patience', 2)      # no evaluation is better than the first


def test_it_ends_where_nothing_gets_better(tmp_path):
    """And not before, however often it was stopped; with more patience it goes on."""
    assert here(tmp_path, *SELDOM, *STILL, '--stop', 2, 3).returncode == 75
    result = here(tmp_path, *SELDOM, *STILL, '--resume', 'auto')
    assert result.returncode == 0, result.stderr
    assert 'stopped early after epoch 3 of 6: --patience\n3 epochs in ' in result.stdout
    found = json.loads((tmp_path / 'summary.json').read_text())
    assert (found['epoch'], found['epochs'], len(rows(tmp_path))) == (1, 3, 3)
    assert [path.name for path in checkpoint.found(tmp_path)][-1] == 'checkpoint-0003-000000.npz'
    again = here(tmp_path, *SELDOM, *STILL, '--resume', 'auto')
    assert 'stopped early after epoch 3 of 6; more --patience goes on' in again.stdout
    assert here(tmp_path, *SELDOM, *STILL, '--patience', 4, '--resume', 'auto').returncode == 0
    assert len(rows(tmp_path)) == 5


def test_the_best_by_another_figure(tmp_path):
    result = here(tmp_path, '--best', 'val_loss', '--num-epochs', 3)
    found = json.loads((tmp_path / 'summary.json').read_text())
    assert found['val_loss'] == min(row['val_loss'] for row in rows(tmp_path))
    last = result.stdout.splitlines()[-1]
    assert re.match(r'3 epochs in \d\d:\d\d; ', last), last
    assert last.endswith(f"; best: val_loss {found['val_loss']:.2f} after epoch {found['epoch']}, "
                         f"{tmp_path / 'best.params'}")
    assert_refused(here(tmp_path / 'other', '--best', 'top1'), '--best must be one of error, val_loss, got top1')
    assert not (tmp_path / 'other').exists()


def test_evaluating_writes_nothing(whole, tmp_path):
    """The averaged weights of the newest checkpoint, and those of any checkpoint, wherever it lies."""
    folder, _ = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
    newest = here(folder, '--eval-only', '--resume', 'auto')
    assert newest.returncode == 0, newest.stderr
    row = rows(folder)[-1]
    assert newest.stdout.splitlines()[-1] == f"error {row['error']:.2f}  val_loss {row['val_loss']:.2f}  of 297"
    older = checkpoint.found(folder)[-2]
    named = here(tmp_path / 'nothing', '--eval-only', '--resume', older)
    assert f'evaluating {older}: epoch ' in named.stdout
    assert here(folder, '--eval-only', '--resume', older).stdout == named.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*')} == before
    assert_refused(here(tmp_path / 'nothing', '--eval-only', '--resume', 'auto'), 'holds no checkpoint to evaluate')
    assert not (tmp_path / 'nothing').exists()


def test_adamw_goes_on_to_the_same_end(tmp_path):
    words = ('--optimizer', 'adamw', '--lr', 0.01, '--wd', 0.1, '--num-epochs', 2, '--accumulate', 2,
             '--lr-schedule', 'step', '--milestones', 1)
    assert here(tmp_path / 'whole', *SELDOM, *words).returncode == 0
    assert here(tmp_path / 'run', *SELDOM, *words, '--stop', 1, 5).returncode == 75
    assert here(tmp_path / 'run', *SELDOM, *words, '--resume', 'auto').returncode == 0
    assert_same_end(tmp_path / 'run', tmp_path / 'whole')


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
    assert figures.better({'error': 1}, {'error': 2})
    assert not figures.better({'error': 2}, {'error': 1})
    assert figures.by(None) == figures
    assert figures.by('hits').better({'hits': 2}, {'hits': 1})
    with pytest.raises(InputError, match='--best must be one of error, hits, got train_hits'):
        figures.by('train_hits')


@pytest.mark.parametrize('more', ['highest', 'lowest'])
@pytest.mark.parametrize('none', [float('nan'), float('inf'), -float('inf')])
def test_what_is_not_finite_gives_way(more, none):
    figures = Figures((Figure('top1', 'top1', best=more),), 'top1')

    def better(one, other):
        return figures.better({'top1': one}, None if other is None else {'top1': other})

    assert [better(1, other) for other in (None, none)] == [True, True]
    assert [better(none, other) for other in (None, 1, none)] == [False, False, False]


def test_between_equal_figures_another_decides():
    figures = Figures((Figure('top1', 'top1', best='highest'), Figure('loss', 'loss', best='lowest')), 'top1',
                      tie='loss')
    best = {'top1': 90, 'loss': 2}
    assert [figures.better({'top1': top1, 'loss': loss}, best) for top1, loss in (
        (91, 3), (90, 1), (90, 2), (90, 3), (89, 1), (90, float('nan')))] == [True, True, False, False, False, False]
    assert not figures.better({'top1': 90}, best)
    assert figures.better(best, {'top1': 90})


def test_a_task_without_methods():
    task = Task('network', 'twin')
    for call in (lambda: task.batches(0, 0), lambda: task.prepare([], None, 0, None), lambda: task.loss(None, None),
                 lambda: task.evaluate(None), lambda: task.validation_figures({})):
        with pytest.raises(NotImplementedError):
            call()
    assert [task.decay(SimpleNamespace(name=name)) for name in ('dense0_weight', 'batchnorm0_gamma')] == [1.0, 0.0]


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_before_the_training_begins(number):
    """As of a scheduler that wants the machine while the data are opened."""
    before = signal.getsignal(number)

    def work(job):
        signal.raise_signal(number)
        raise AssertionError('it goes on')

    with pytest.raises(StartAgain, match=f'^{number.name} came before the training began'):
        in_job(TrainConfig(), work)
    assert signal.getsignal(number) == before
