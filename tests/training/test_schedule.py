"""Schedule and weight decay, each against an independent formula."""
import math

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.training import TrainConfig
from resnest.gluon.training.distributed import Workers
from resnest.gluon.training.engine import _make_trainer
from resnest.gluon.training.schedule import WarmupCosine, dropblock_probability


def test_schedule_at_every_step():
    steps, warmup, peak = 200, 20, 0.4
    schedule = WarmupCosine(peak, steps, warmup)
    found = [schedule(update) for update in range(1, steps + 1)]
    line = np.linspace(0, peak, warmup + 1)[1:]
    curve = (np.cos(np.linspace(0, math.pi, steps - warmup + 1)) + 1)[:-1] * peak / 2
    np.testing.assert_allclose(found, np.concatenate([line, curve]), rtol=1e-12)
    assert schedule(steps + 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('steps, epochs, warmup_epochs', [(157, 270, 5), (7, 3, 0), (5, 4, 0.5), (3, 2, 2)])
def test_schedule_of_epochs(steps, epochs, warmup_epochs):
    """Section 5.1, epoch by epoch: linear up to 0.1 x 8192 / 256, then half a cosine."""
    total, warmup = steps * epochs, round(steps * warmup_epochs)
    schedule = WarmupCosine(3.2, total, warmup)
    for step in range(total):
        wanted = 3.2 * (step + 1) / warmup if step < warmup else \
            3.2 * math.cos(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2
        assert schedule(step + 1) == pytest.approx(wanted, abs=1e-12), step


def test_the_optimizer_follows_the_schedule(tiny):
    """Each step of a plain gradient of one moves a weight by that step's rate: momentum 0, decay 0."""
    config = TrainConfig(batch_size=64, lr=0.5, num_epochs=3, warmup_epochs=1, momentum=0.0, wd=0.0)
    net = mx.gluon.nn.Dense(1, in_units=1, use_bias=False)
    net.initialize(mx.init.Zero())
    trainer = _make_trainer(net, config, Workers(None), steps=4)
    rates, before = [], 0.0
    for _ in range(12):
        with mx.autograd.record():
            net(mx.nd.ones((1, 1))).backward()
        trainer.step(1)
        now = net.weight.data().asnumpy().item()
        rates.append(before - now)
        before = now
    wanted = [0.125, 0.25, 0.375, 0.5] + [0.25 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-4, atol=1e-6)


def test_decay_is_on_convolution_and_dense_weights_only(tiny):
    net = tiny()
    net.initialize()
    _make_trainer(net, TrainConfig(), Workers(None), steps=1)
    decayed = {name for name, param in net._collect_params_with_prefix().items() if param.wd_mult}
    layers = {name for name in net._collect_params_with_prefix() if name.endswith('.weight')}
    assert decayed == layers
    assert 'fc.weight' in decayed
    assert not any(word in name for name in decayed for word in ('bn', 'bias', 'gamma'))


def test_dropblock_ramps_from_nothing():
    ramp = [dropblock_probability(epoch, 5, 0.1) for epoch in range(5)]
    np.testing.assert_allclose(ramp, [0, 0.025, 0.05, 0.075, 0.1])
    assert dropblock_probability(0, 1, 0.1) == 0
