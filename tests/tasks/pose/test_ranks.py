"""Pose over two ranks: killed, resumed to the same bytes, verified exactly, and started from other weights."""
import shutil
import sys

import pytest

from ...conftest import ROOT, command, horovodrun, needs_horovod, read_json
from ...training.runs import go_on_after_a_kill
from .little_people import SMALL, write


@pytest.mark.slow
@needs_horovod
def test_two_ranks_train_together_are_killed_and_go_on_and_verify_exactly(tmp_path):
    data, program = write(tmp_path / 'scenes'), [sys.executable, '-m', 'resnest']
    words = ('--data-dir', data, '--model-options', *SMALL, '--num-epochs', 2, '--batch-size', 2, '--no-cuda', '-j', 1)
    go_on_after_a_kill('pose', tmp_path, *words)
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
    result = command(*horovodrun(2), *program, 'train-pose', *words, '--sync-bn', '--save-steps', 1, '--keep', 9,
                     '--save-dir', tmp_path / 'again', '--resume', 'auto', '--eval-only', cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{read_json(tmp_path / 'run/summary.json')['ap']:.2f}" in result.stdout
