"""Whatever stops a run, it goes on and ends bit for bit where it would have ended."""
import json
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from resnest.gluon.training.run import checkpoint

from ...conftest import ROOT, assert_refused, needs_horovod
from ..runs import assert_same_end, little_run, log, program

EVERYTHING = ('--batch-size', 8, '--lr', 0.02, '--warmup-epochs', 1, '--mixup', '--cutmix', '--dropblock-prob', 0.1,
              '--drop-path', 0.1, '--last-gamma', '--label-smoothing', '--ema-decay', 0.9, '--clip-gradient', 1,
              '--save-frequency', 2)
SHORT = (*EVERYTHING, '--num-epochs', 3, '--save-steps', 6)      # half an epoch, and just before its end


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    result = little_run(folder, *SHORT)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope='module')
def undisturbed_pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed_pair')
    result = little_run(folder, *SHORT, ranks=2)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def was_killed(result):
    return result.returncode == -signal.SIGKILL or 'status code 137' in result.stdout + result.stderr


# Before there is any checkpoint; half-way through writing one; between two within an epoch; as an epoch begins, and
# the weights of the last one were just evaluated.
KILLS = [('--die', 0, 0, 3), ('--die-saving', 2), ('--die', 0, 1, 9), ('--die', 0, 2, 0)]


@pytest.mark.slow
def test_killed_at_chosen_moments(undisturbed, tmp_path):
    """Each time another process goes on; what the last one left half-written does not matter."""
    for number, kill in enumerate(KILLS):
        result = little_run(tmp_path, *SHORT, '--resume', 'auto', *kill, fresh=True)
        assert was_killed(result), result.stdout + result.stderr
        assert ('going on from' in result.stdout) == (number > 1), kill
        assert bool(list(tmp_path.glob('*.part'))) == (kill[0] == '--die-saving')
    result = little_run(tmp_path, *SHORT, '--resume', 'auto', fresh=True)
    assert result.returncode == 0, result.stderr
    assert_same_end(tmp_path, undisturbed)
    assert not list(tmp_path.glob('*.part'))


@pytest.mark.slow
@needs_horovod
def test_killed_on_two_ranks(undisturbed_pair, tmp_path):
    """Either rank; the second time the first one dies while it writes, and the other waits for it."""
    for kill in (('--die', 1, 1, 3), ('--die-saving', 2)):
        assert was_killed(little_run(tmp_path, *SHORT, '--resume', 'auto', *kill, ranks=2)), kill
    result = little_run(tmp_path, *SHORT, '--resume', 'auto', ranks=2)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'going on from' in result.stdout
    assert_same_end(tmp_path, undisturbed_pair)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize('ranks', [1, pytest.param(2, marks=needs_horovod)])
def test_killed_at_random_moments(soak, tmp_path, ranks):
    rng, wanted = soak
    words = (*EVERYTHING, '--batch-size', 8 // ranks, '--num-epochs', 5, '--save-steps', 2, '--eval-frequency', 2,
             '--resume', 'auto')       # 60 steps: 20 kills within 4 batches each see most of them
    assert little_run(tmp_path / 'whole', *words, ranks=ranks).returncode == 0
    kills, resumed, runs = 0, 0, 0
    while kills < wanted:
        folder = tmp_path / str(runs)
        result = little_run(folder, *words, '--kill', rng.integers(2 ** 31), 4, ranks=ranks, fresh=True)
        resumed += 'going on from' in result.stdout
        if result.returncode:
            assert was_killed(result), result.stdout + result.stderr
            kills += 1
        else:       # a fast machine has come to the end: on with another run
            assert_same_end(folder, tmp_path / 'whole')
            runs += 1
    result = little_run(tmp_path / str(runs), *words, ranks=ranks)
    assert result.returncode == 0, result.stderr
    assert resumed > wanted // 6      # after a third batch there is always a checkpoint
    assert_same_end(tmp_path / str(runs), tmp_path / 'whole')


def stop(folder, *words, after, ranks=1):
    """Start a run, send it SIGTERM once a file of a name like ``after`` is there; its exit code and what it printed."""
    running = subprocess.Popen([str(word) for word in program(folder, *words, ranks=ranks)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while running.poll() is None and not list(folder.glob(after)):
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    printed, _ = running.communicate(timeout=60)
    return running.returncode, printed


def test_stopped_by_a_scheduler(undisturbed, tmp_path):
    code, printed = stop(tmp_path / 'run', *SHORT, '--save-steps', 0, after='config.yaml')
    assert code == 75, printed
    assert 'stopped on request after' in printed
    assert len(checkpoint.found(tmp_path / 'run')) == 1
    assert little_run(tmp_path / 'run', *SHORT, '--resume', 'auto', fresh=True).returncode == 0
    assert_same_end(tmp_path / 'run', undisturbed)


@pytest.mark.slow
@needs_horovod
def test_stopped_by_a_scheduler_on_two_ranks(undisturbed_pair, tmp_path):
    _, printed = stop(tmp_path / 'run', *SHORT, after='config.yaml', ranks=2)
    assert printed.count('exit with status code 75') == 2, printed
    assert little_run(tmp_path / 'run', *SHORT, '--resume', 'auto', ranks=2).returncode == 0
    assert_same_end(tmp_path / 'run', undisturbed_pair)


# Nothing here depends on which images share a rank's batch, as BatchNorm and mixup's partners do.
ALIKE = ('--layers', 'plain', '--num-epochs', 3, '--save-steps', 6, '--save-frequency', 2, '--warmup-epochs', 1,
         '--label-smoothing', '--ema-decay', 0.9, '--clip-gradient', 1)


@pytest.mark.slow
@needs_horovod
@pytest.mark.parametrize('before, after, words', [(1, 2, ALIKE), (2, 1, ALIKE), (2, 1, SHORT)])
def test_on_another_number_of_ranks(tmp_path, before, after, words):
    """The global batch stays: schedule and samples go on from the same step, and the loss falls alike.

    Where no sample depends on its neighbours, all that differs is in which order gradients are added: after 36 steps
    that is within 1e-4, a thousand roundings, and a sample, a momentum or an average that was lost is far beyond.
    With BatchNorm over 4 images instead of 8, and other partners in mixup, another loss is minimized, which is as
    much as a fifth higher or lower: there it is only asked to fall.
    """
    def on(ranks):
        return (*words, '--batch-size', 8 // ranks, '--lr', 0.05 / ranks, '--resume', 'auto')

    assert little_run(tmp_path / 'whole', *on(1)).returncode == 0
    assert was_killed(little_run(tmp_path / 'run', *on(before), '--die', 0, 1, 9, ranks=before, fresh=True))
    (step,) = [path.name for path in checkpoint.found(tmp_path / 'run')[-1:]]
    assert step == 'checkpoint-0001-000006.npz'
    result = little_run(tmp_path / 'run', *on(after), ranks=after)
    assert result.returncode == 0, result.stdout + result.stderr
    assert step in result.stdout
    found, wanted = log(tmp_path / 'run'), log(tmp_path / 'whole')
    assert [row['lr'] for row in found] == pytest.approx([row['lr'] for row in wanted])
    if words is ALIKE:
        assert [row['loss'] for row in found] == pytest.approx([row['loss'] for row in wanted], rel=1e-4)
    assert found[-1]['loss'] < found[0]['loss']


def test_a_damaged_checkpoint_gives_way_to_the_one_before(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / 'run')
    newest = checkpoint.found(tmp_path / 'run')[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    result = little_run(tmp_path / 'run', *SHORT, '--resume', 'auto')
    assert result.returncode == 0, result.stderr
    assert f'warning: {newest} is damaged; the one before it is used' in result.stdout
    assert_same_end(tmp_path / 'run', undisturbed)
    for path in checkpoint.found(tmp_path / 'run'):
        path.write_bytes(b'')
    assert_refused(little_run(tmp_path / 'run', *SHORT, '--resume', 'auto'), 'there is no older checkpoint')


def test_another_recipe_is_named(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / 'run')
    for path in checkpoint.found(tmp_path / 'run')[1:]:
        path.unlink()
    (path,) = checkpoint.found(tmp_path / 'run')
    words = (*SHORT, '--lr', 0.01, '--no-mixup')
    assert_refused(little_run(tmp_path / 'run', *words, '--resume', 'auto'), path,
                   '--mixup False (was True), --lr: learning rate 0.01 (was 0.02)', f'--resume {path}')
    result = little_run(tmp_path / 'run', *words, '--resume', path)
    assert result.returncode == 0, result.stderr
    assert 'note: changed since the checkpoint: --mixup False (was True)' in result.stdout
    assert log(tmp_path / 'run')[-1]['lr'] == pytest.approx(log(undisturbed)[-1]['lr'] / 2)


def test_an_older_checkpoint_among_newer_ones(undisturbed):
    """What follows on it would be older than they are: removed at once, and never resumed from."""
    path, *_, last = checkpoint.found(undisturbed)
    assert_refused(little_run(undisturbed, *SHORT, '--resume', path), f'{last}: further on than {path}')
    assert last.exists()


def test_two_runs_in_one_folder(tmp_path):
    running = subprocess.Popen([str(word) for word in program(tmp_path, *SHORT)], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / 'config.yaml').exists():
            time.sleep(0.02)
        running.send_signal(signal.SIGSTOP)
        assert_refused(little_run(tmp_path, *SHORT, '--resume', 'auto'), tmp_path, 'another run writes there now')
    finally:
        running.kill()
        running.wait()


def test_the_end_of_a_run(undisturbed, tmp_path):
    assert_refused(little_run(undisturbed, *SHORT), undisturbed, 'holds an earlier run')
    (undisturbed / 'summary.json').unlink()         # as if killed before it
    again = little_run(undisturbed, *SHORT, '--resume', 'auto')
    assert (again.returncode, 'already trained for all of its 3 epochs' in again.stdout) == (0, True)
    assert [path.name for path in checkpoint.found(undisturbed)] == [
        'checkpoint-0002-000006.npz', 'checkpoint-0002-000012.npz', 'checkpoint-0003-000000.npz']
    summary = json.loads((undisturbed / 'summary.json').read_text())
    assert summary['top1'] == max(row['top1'] for row in log(undisturbed))
    assert np.isclose(summary['config']['derived']['learning_rate'], 0.02)
