"""Two pretended nodes of two ranks each, which find each other as tasks of srun do."""
import signal
import time

import pytest

from ..conftest import ROOT, needs_horovod
from ..training.runs import assert_same_end
from .tasks import finish, job_number, srun, start

# Regression on digits; each rank sees ten batches of eight in an epoch.
WORDS = (ROOT / 'tests/training/toy_task.py', '--batch-size', 8, '--lr', 0.002, '--num-epochs', 12, '--save-steps', 4,
         '--deterministic', '--resume', 'auto', '--save-dir')


@pytest.mark.slow
@needs_horovod
def test_a_node_that_dies_ends_the_other_and_the_job_goes_on_bit_for_bit(tmp_path):
    nodes = list(srun(2, 2, job_number('nodes')))
    assert [code for code, _ in finish(start([*WORDS, tmp_path / 'whole'], nodes))] == [0] * 4
    ranks = start([*WORDS, tmp_path / 'run'], nodes)
    end = time.monotonic() + 60
    while not list((tmp_path / 'run').glob('checkpoint-*.npz')) and time.monotonic() < end:
        time.sleep(0.02)
    for rank in ranks[2:]:
        rank.send_signal(signal.SIGKILL)
    begin = time.monotonic()
    found = finish(ranks, 30)
    assert time.monotonic() - begin < 10
    assert [code for code, _ in found] == [75, 75, -signal.SIGKILL, -signal.SIGKILL], found
    for rank in (0, 1):
        errors = [line for line in found[rank][1].splitlines() if line.startswith('error: ')]
        assert len(errors) == 1
        assert errors[0].endswith(f'this is rank {rank}; --resume auto goes on from the newest checkpoint')
    ranks = start([*WORDS, tmp_path / 'run'], nodes)
    again = finish(ranks)
    assert [code for code, _ in again] == [0] * 4, again
    assert 'going on from' in again[0][1]
    assert_same_end(tmp_path / 'run', tmp_path / 'whole')
