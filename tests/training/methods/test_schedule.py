"""The schedule against independent formulas."""
import math

import numpy as np
import pytest

from resnest.gluon.training.methods.schedule import cosine_ramp, dropblock_probability


def test_schedule_at_every_step():
    steps, warmup = 200, 20
    found = [cosine_ramp(step, steps, warmup) for step in range(steps)]
    line = np.linspace(0, 1, warmup + 1)[1:]
    curve = (np.cos(np.linspace(0, math.pi, steps - warmup + 1)) + 1)[:-1] / 2
    np.testing.assert_allclose(found, np.concatenate([line, curve]), rtol=1e-12)
    assert cosine_ramp(steps, steps, warmup) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('steps, epochs, warmup_epochs', [(157, 270, 5), (7, 3, 0), (5, 4, 0.5), (3, 2, 2)])
def test_schedule_of_epochs(steps, epochs, warmup_epochs):
    """Section 5.1, epoch by epoch: linear up to 0.1 x 8192 / 256, then half a cosine."""
    total, warmup = steps * epochs, round(steps * warmup_epochs)
    for step in range(total):
        wanted = (step + 1) / warmup if step < warmup else \
            math.cos(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2
        assert cosine_ramp(step, total, warmup) == pytest.approx(wanted, abs=1e-12), step


def test_dropblock_ramps_from_nothing():
    ramp = [dropblock_probability(epoch, 5, 0.1) for epoch in range(5)]
    np.testing.assert_allclose(ramp, [0, 0.025, 0.05, 0.075, 0.1])
    assert dropblock_probability(0, 1, 0.1) == 0
