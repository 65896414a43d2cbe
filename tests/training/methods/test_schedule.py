"""The schedules against independent formulas."""
import math

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.training import TrainConfig
from resnest.gluon.training.methods.schedule import dropblock_probability, make_schedule


def factors(steps, epochs, warmup_epochs, **settings):
    """Of the learning rate at every step of a run."""
    config = TrainConfig(num_epochs=epochs, warmup_epochs=warmup_epochs, lr=0.5, **settings)
    factor = make_schedule(config, steps * epochs, round(steps * warmup_epochs))
    return [factor(step) for step in range(steps * epochs)]


def test_schedule_at_every_step():
    found = factors(10, 20, 2)
    line = np.linspace(0, 1, 21)[1:]
    curve = (np.cos(np.linspace(0, math.pi, 181)) + 1)[:-1] / 2
    np.testing.assert_allclose(found, np.concatenate([line, curve]), rtol=1e-12)
    assert make_schedule(TrainConfig(num_epochs=20), 200, 20)(200) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('steps, epochs, warmup_epochs', [(157, 270, 5), (7, 3, 0), (5, 4, 0.5), (3, 2, 2)])
def test_schedule_of_epochs(steps, epochs, warmup_epochs):
    """Section 5.1, epoch by epoch: linear up to 0.1 x 8192 / 256, then half a cosine."""
    total, warmup = steps * epochs, round(steps * warmup_epochs)
    for step, found in enumerate(factors(steps, epochs, warmup_epochs)):
        wanted = (step + 1) / warmup if step < warmup else \
            math.cos(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2
        assert found == pytest.approx(wanted, abs=1e-12), step


def test_milestones_are_counted_from_the_beginning():
    """He et al. divide the rate by 10 after 30 and 60 of 90 epochs."""
    found = np.reshape(factors(7, 90, 5, lr_schedule='step', milestones=[30, 60]), (90, 7))
    np.testing.assert_allclose(found[:5].ravel(), np.arange(1, 36) / 35)
    for first, end, wanted in ((5, 30, 1), (30, 60, 0.1), (60, 90, 0.01)):
        np.testing.assert_allclose(found[first:end], wanted, rtol=1e-12)


def test_steps_of_another_factor_during_the_warmup():
    found = factors(2, 4, 2, lr_schedule='step', milestones=[1, 3], lr_decay=0.5)
    np.testing.assert_allclose(found, [0.25, 0.5, 0.375, 0.5, 0.5, 0.5, 0.25, 0.25])


def test_polynomial():
    """DeepLab's: (1 - iteration / iterations) ** 0.9, behind the warm-up."""
    np.testing.assert_allclose(factors(5, 8, 0, lr_schedule='poly'), np.linspace(1, 0, 41)[:-1] ** 0.9)
    found = factors(5, 8, 2, lr_schedule='poly', poly_power=2.0)
    np.testing.assert_allclose(found[10:], np.linspace(1, 0, 31)[:-1] ** 2)


def test_constant():
    assert factors(2, 3, 1, lr_schedule='constant') == [0.5, 1, 1, 1, 1, 1]


@pytest.mark.parametrize('shape', ['cosine', 'poly'])
def test_the_lowest_rate(shape):
    """0.05 of 0.5: what is above it falls as before."""
    plain, found = (np.array(factors(5, 8, 1, lr_schedule=shape, **least)) for least in ({}, {'min_lr': 0.05}))
    np.testing.assert_allclose(found[:5], plain[:5])
    np.testing.assert_allclose(found[5:] - 0.1, 0.9 * plain[5:])
    config = TrainConfig(num_epochs=8, lr=0.5, lr_schedule=shape, min_lr=0.05)
    assert make_schedule(config, 40, 5)(40) == pytest.approx(0.1)


def test_dropblock_ramps_from_nothing():
    ramp = [dropblock_probability(epoch, 5, 0.1) for epoch in range(5)]
    np.testing.assert_allclose(ramp, [0, 0.025, 0.05, 0.075, 0.1])
    assert dropblock_probability(0, 1, 0.1) == 0


def test_warm_up_and_milestones_by_steps():
    """Detectron2's: a line from the first factor, and a tenth of the rate from each milestone on."""
    config = TrainConfig(lr=0.02, lr_schedule='step', num_steps=90, milestone_steps=[60, 80], warmup_steps=10,
                         warmup_factor=0.001)
    config.settle_steps(7)
    assert (config.num_epochs, config.total_steps(7), round(7 * config.warmup)) == (13, 90, 10)
    factor = make_schedule(config, 90, 10)
    for step in range(90):
        warmed = 0.001 * (1 - step / 10) + step / 10 if step < 10 else 1
        assert factor(step) == pytest.approx(warmed * (1 if step < 60 else 0.1 if step < 80 else 0.01))


@pytest.mark.parametrize('settings, wanted', [
    ({'milestones': [30], 'milestone_steps': [300]}, '--milestones and --milestone-steps'),
    ({'milestone_steps': [90], 'num_steps': 90}, 'rising steps before the last of 90'),
    ({'milestones': [30], 'num_steps': 90}, '--num-steps counts in steps'),
    ({'milestone_steps': [3, 3]}, 'rising steps, such as 60000 80000'),
])
def test_steps_that_contradict_each_other(settings, wanted):
    with pytest.raises(InputError, match=wanted):
        TrainConfig(lr_schedule='step', **settings)
