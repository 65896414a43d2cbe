"""Adam and AdamW against their formulas."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.training import TrainConfig
from resnest.gluon.training.methods.optimizer import make_optimizer

RATE, DECAY = 0.01, 0.1
GRADIENTS = np.random.default_rng(3).normal(size=(6, 5)).astype('float32')


def trained(optimizer, dtype='float32', decays=True):
    """A parameter after a step for each of the gradients."""
    param = mx.gluon.Parameter('weight', shape=(5,), dtype=dtype, init=mx.init.One())
    param.initialize()
    param.wd_mult, param.lr_mult = float(decays), 0.5
    config = TrainConfig(model='x', optimizer=optimizer, wd=DECAY, lr=RATE, dtype=dtype)
    trainer = mx.gluon.Trainer({'weight': param}, make_optimizer(config, RATE), kvstore=None)
    for gradient in GRADIENTS:
        param.grad()[:] = 4 * gradient
        param.data()._fresh_grad = True
        trainer.update(4)
    return param.data().asnumpy()


def by_formula(optimizer, decay):
    """Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2."""
    weight, mean, square = np.ones(5), 0, 0
    for time, gradient in enumerate(GRADIENTS.astype(float), 1):
        if optimizer == 'adam':
            gradient = gradient + decay * weight
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient ** 2
        step = mean / (1 - 0.9 ** time) / (np.sqrt(square / (1 - 0.999 ** time)) + 1e-8)
        weight = weight - 0.5 * RATE * (step + (decay * weight if optimizer == 'adamw' else 0))
    return weight


@pytest.mark.parametrize('optimizer', ['adam', 'adamw'])
@pytest.mark.parametrize('decays', [True, False])
def test_six_steps(optimizer, decays):
    found = trained(optimizer, decays=decays)
    np.testing.assert_allclose(found, by_formula(optimizer, decays * DECAY), rtol=1e-5)


def test_they_differ_by_more_than_the_tolerance():
    assert np.abs(by_formula('adam', DECAY) - by_formula('adamw', DECAY)).max() > 1e-3
    assert np.abs(by_formula('adamw', 0) - by_formula('adamw', DECAY)).max() > 1e-3


@pytest.mark.parametrize('optimizer', ['adam', 'adamw'])
def test_half_precision_has_master_weights(optimizer):
    """Each step moves the weight by half a percent, of which float16 alone would lose a tenth."""
    np.testing.assert_allclose(trained(optimizer, 'float16'), by_formula(optimizer, DECAY), rtol=5e-4)


def test_defaults_of_each():
    found = {name: TrainConfig(model='x', optimizer=name, batch_size=4096) for name in ('sgd', 'adam', 'adamw')}
    assert [config.rank_lr for config in found.values()] == pytest.approx([1.6, 0.004, 0.004])
    assert [config.decay for config in found.values()] == [1e-4, 1e-4, 0.05]
