"""N ranks compute what one computes, where BatchNorm has no say."""
import numpy as np
import pytest

from ...conftest import needs_horovod
from ..runs import last_arrays, little_run, log

# 51 steps of 16 images.
WORDS = ('--layers', 'plain', '--num-epochs', 9, '--warmup-epochs', 1, '--label-smoothing', '--eval-frequency', 9,
         '--clip-gradient', 0.5, '--ema-decay', 0.9, '--wd', 0.01)


def weights(folder):
    return {name: value for name, value in last_arrays(folder).items() if name.startswith(('net/', 'average/'))}


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp('alone')
    result = little_run(folder, *WORDS, '--batch-size', 16, '--lr', 0.1)
    assert result.returncode == 0, result.stderr
    return folder


def assert_close(folder, alone):
    found, wanted = weights(folder), weights(alone)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    for mine, other in zip(log(folder), log(alone)):
        assert mine == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
@needs_horovod
@pytest.mark.parametrize('ranks, words', [(2, ()), (4, ()), (4, ('--deterministic',)), (2, ('--accumulate', 2))])
def test_ranks_that_share_a_batch(alone, tmp_path, ranks, words):
    share = ranks * (2 if '--accumulate' in words else 1)
    result = little_run(tmp_path, *WORDS, '--batch-size', 16 // share, '--lr', 0.1 / share, *words, ranks=ranks)
    assert result.returncode == 0, result.stdout + result.stderr
    assert_close(tmp_path, alone)


def test_accumulation_stands_for_ranks(alone, tmp_path):
    result = little_run(tmp_path, *WORDS, '--batch-size', 4, '--accumulate', 4, '--lr', 0.025)
    assert result.returncode == 0, result.stderr
    assert_close(tmp_path, alone)


@pytest.mark.slow
@needs_horovod
def test_gradients_that_travel_as_float16(alone, tmp_path):
    result = little_run(tmp_path, *WORDS, '--batch-size', 8, '--lr', 0.05, '--fp16-compression', '--fusion-mb', 1,
                        '--cycle-ms', 0.5, ranks=2)
    assert result.returncode == 0, result.stdout + result.stderr
    found, wanted = weights(tmp_path), weights(alone)
    exact = all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert not exact
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=0.02 * np.abs(value).max() + 1e-3, err_msg=name)
