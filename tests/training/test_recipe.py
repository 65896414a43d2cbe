"""Schedule, losses, weight decay and options, each against an independent formula."""
import argparse
import math

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.training import TrainConfig, add_options, from_options
from resnest.gluon.training.distributed import Workers
from resnest.gluon.training.engine import _make_trainer
from resnest.gluon.training.losses import SmoothedCrossEntropy
from resnest.gluon.training.schedule import WarmupCosine, dropblock_probability


def parse(*words):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return from_options(parser.parse_args(words))


def test_schedule_at_every_step():
    steps, warmup, peak = 200, 20, 0.4
    schedule = WarmupCosine(peak, steps, warmup)
    found = [schedule(update) for update in range(1, steps + 1)]
    line = np.linspace(0, peak, warmup + 1)[1:]
    curve = (np.cos(np.linspace(0, math.pi, steps - warmup + 1)) + 1)[:-1] * peak / 2
    np.testing.assert_allclose(found, np.concatenate([line, curve]), rtol=1e-12)
    assert schedule(steps + 1) == pytest.approx(0, abs=1e-12)


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


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.5])
def test_smoothed_cross_entropy(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    target = np.full((6, 5), smoothing / 5)
    target[np.arange(6), labels] += 1 - smoothing
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = SmoothedCrossEntropy(smoothing)(mx.nd.array(logits), mx.nd.array(labels)).asnumpy()
    np.testing.assert_allclose(found, -(target * log_p).sum(axis=1), rtol=1e-5)


def test_dropblock_ramps_from_nothing():
    ramp = [dropblock_probability(epoch, 5, 0.1) for epoch in range(5)]
    np.testing.assert_allclose(ramp, [0, 0.025, 0.05, 0.075, 0.1])
    assert dropblock_probability(0, 1, 0.1) == 0


def test_learning_rate_is_scaled_linearly():
    # 64 workers with 128 images each: 0.1 * 8192 / 256, the documented --lr 0.05 a worker
    assert parse('--batch-size', '128').worker_lr * 64 == pytest.approx(0.1 * 8192 / 256)
    assert parse('--lr', '0.05').worker_lr == 0.05


def test_options_are_the_fields():
    config = parse('--model', 'resnest101', '--label-smoothing', '--last-gamma', '-j', '0', '--crop-size', '96')
    assert config == TrainConfig(model='resnest101', label_smoothing=0.1, last_gamma=True, num_workers=0, input_size=96)
    assert parse('--label-smoothing', '0.2').label_smoothing == 0.2
    assert parse() == TrainConfig()


@pytest.mark.parametrize('name, value', [
    ('batch_size', 0), ('num_epochs', 0), ('input_size', 0), ('lr', -1.0), ('lr', math.nan), ('label_smoothing', 1.0),
    ('dropblock_prob', -0.1), ('num_workers', -1), ('warmup_epochs', 271.0), ('crop_ratio', 0.0)])
def test_values_out_of_range_name_the_option(name, value):
    with pytest.raises(InputError, match='--' + name.replace('_', '-')):
        TrainConfig(**{name: value})
