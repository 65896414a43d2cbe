"""Bad numbers, dead ranks and full disks."""
import resource
import subprocess
import sys

import pytest

from resnest.gluon.training.run import checkpoint

from ...conftest import assert_refused, needs_horovod
from ..runs import little_run, log, program

WORDS = ('--batch-size', 16, '--lr', 0.02, '--num-epochs', 2, '--warmup-epochs', 1, '--save-steps', 2, '--mixup')


def test_a_loss_that_is_not_finite_ends_the_run_before_the_update(tmp_path):
    result = little_run(tmp_path / 'run', *WORDS, '--poison', 1, 17)
    assert_refused(result, 'the loss is nan in epoch 2, learning rate', ' 17', '--skip-nonfinite')
    whole = little_run(tmp_path / 'whole', *WORDS)
    assert whole.returncode == 0, whole.stderr
    path, data, damaged = checkpoint.newest(tmp_path / 'run')
    assert not damaged
    found, state = checkpoint.load(data, path)
    assert (state['epoch'], len(state['rows'])) == (1, 1)
    assert log(tmp_path / 'run') == log(tmp_path / 'whole')[:1]


def test_steps_that_are_left_out(tmp_path):
    result = little_run(tmp_path, *WORDS, '--poison', 0, 17, '--skip-nonfinite', 1)
    assert result.returncode == 0, result.stderr
    assert 'left out (1 of 1)' in result.stdout
    assert all(0 < row['loss'] < 100 for row in log(tmp_path))
    assert all(0 <= row['top1'] <= 100 for row in log(tmp_path))        # the running statistics are finite


@pytest.mark.slow
@needs_horovod
def test_one_rank_s_loss_stops_all(tmp_path):
    result = little_run(tmp_path / 'run', *WORDS, '--poison', 0, 17, '--batch-size', 8, ranks=2)
    printed = result.stdout + result.stderr
    assert printed.count('the loss is nan in epoch 1') == 1
    assert 'Traceback' not in ''.join(line for line in printed.splitlines() if line.startswith('['))
    result = little_run(tmp_path / 'on', *WORDS, '--poison', 0, 17, '--batch-size', 8, '--skip-nonfinite', 1, ranks=2)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@needs_horovod
@pytest.mark.parametrize('rank, words', [(0, ()), (1, ()), (1, ('--sync-bn',))])
def test_a_rank_that_dies_is_named(tmp_path, rank, words):
    result = little_run(tmp_path, *WORDS, '--die', rank, 0, 1, '--batch-size', 8, *words, ranks=2, timeout=60)
    printed = result.stdout + result.stderr
    assert result.returncode != 0
    assert f'error: rank {rank} (process ' in printed
    assert f'this is rank {1 - rank}' in printed


def test_a_full_disk_costs_no_training(small_disk):
    disk = small_disk('600k')
    (disk / 'other').write_bytes(bytes(540_000))
    result = little_run(disk / 'run', *WORDS, '--layers', 'plain', '--keep', 100, fresh=True)
    assert result.returncode == 0, result.stderr
    assert 'was not written: No space left on device' in result.stdout
    assert 'epoch   2' in result.stdout
    for path in checkpoint.found(disk / 'run'):
        checkpoint.load(path.read_bytes(), path)
    assert not list(disk.rglob('*.part'))
    assert 'Exception ignored' not in result.stderr


def test_a_file_that_cannot_grow_leaves_the_old_checkpoint(tmp_path):
    """The same where no disk can be mounted: files of more than 200 kB are refused, which all checkpoints are."""
    result = subprocess.run([str(word) for word in program(tmp_path, *WORDS)], capture_output=True, text=True,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    assert result.returncode == 0, result.stderr
    assert 'checkpoint was not written: File too large' in result.stdout
    assert 'best.params was not written: an incomplete file' in result.stdout
    assert 'Exception ignored' not in result.stderr
    assert not checkpoint.found(tmp_path)
    assert len(log(tmp_path)) == 2


def test_a_crash_tells_where_it_was():
    words = 'import os; from resnest.gluon import distributed\nwith distributed.joined():\n    os.kill(os.getpid(), 11)'
    result = subprocess.run([sys.executable, '-c', words], capture_output=True, text=True)
    assert result.returncode == -11
    assert 'Segmentation fault' in result.stderr
    assert 'File "<string>", line 3' in result.stderr
