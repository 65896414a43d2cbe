"""Segmentation over two ranks: killed, resumed to the same bytes, and verified exactly."""
import sys

import pytest

from ...conftest import ROOT, command, horovodrun, needs_horovod, read_json
from ...training.runs import go_on_after_a_kill
from .little_runs import RECIPE, write_blocks


@pytest.mark.slow
@needs_horovod
def test_two_ranks_train_together_are_killed_and_go_on_and_verify_exactly(tmp_path):
    blocks = write_blocks(tmp_path / 'blocks')
    go_on_after_a_kill('segmentation', tmp_path, '--data-dir', blocks, *RECIPE, '--batch-size', 2)
    assert read_json(tmp_path / 'run/summary.json')['seen'] == 3
    found = []
    for ranks in (1, 2):
        path = tmp_path / f'{ranks}.json'
        result = command(*horovodrun(ranks), sys.executable, '-m', 'resnest', 'verify-segmentation', '--data-dir',
                         blocks, '--resume', tmp_path / 'run/best.params', '--multi-scale', '--no-cuda', '--json',
                         path, cwd=ROOT)
        assert result.returncode == 0, result.stdout + result.stderr
        found.append(read_json(path))
    assert found[0] == found[1]
