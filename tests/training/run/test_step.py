"""One step against formulas of its own."""
import math

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data.images.transforms import MEAN, STD
from resnest.gluon.distributed import Job
from resnest.gluon.tasks.classification import Classification
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.tasks.classification.mixing import cutmix, mixup
from resnest.gluon.training import recipe
from resnest.gluon.training.methods.loss_scale import LossScale
from resnest.gluon.training.methods.optimizer import make_trainer
from resnest.gluon.training.run.step import NonFiniteLoss, Step

JOB = Job(None)


def make_step(net, config, total=10):
    return Step(Classification(net, net, config, mx.cpu()), config, JOB, mx.cpu(), total, warmup=0)


def linear(scale=0.01):
    """Four classes from the mean colour."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Flatten(), mx.gluon.nn.Dense(4, in_units=3))
    mx.random.seed(1)
    net.initialize(mx.init.Normal(scale))
    return net


def some(seed, count=6, size=8):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 100, count), (rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
                                         rng.integers(0, 4, count))


def mixed(config, indices, images):
    """The mean colours of a batch with mixup or CutMix, and the shares of its labels."""
    shares, whole = np.ones(6), images.astype(float)
    if config.mixup:
        shares = mixup.draw(config.seed, 0, indices)
        whole = shares[:, None, None, None] * images + (1 - shares[:, None, None, None]) * images[::-1]
    if config.cutmix:
        for sample, (top, left, bottom, right) in enumerate(cutmix.draw(config.seed, 0, indices, 8, 8)):
            whole[sample, top:bottom, left:right] = images[5 - sample, top:bottom, left:right]
            shares[sample] = 1 - (bottom - top) * (right - left) / 64
    return whole.mean(axis=(1, 2)), shares


def gradient(weight, bias, labels, colours, shares, smoothing):
    """Mean over the batch of the gradient of smoothed, mixed cross entropy, by its formula."""
    x = (colours / 255 - MEAN) / STD
    target = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    target = shares[:, None] * target + (1 - shares[:, None]) * target[::-1]
    p = np.exp(x @ weight.T + bias)
    delta = (p / p.sum(axis=1, keepdims=True) - target) / len(labels)
    return delta.T @ x, delta.sum(axis=0)


@pytest.mark.parametrize('settings', [{}, {'mixup': True}, {'clip_gradient': 0.05}, {'accumulate': 3, 'mixup': True},
                                      {'accumulate': 2, 'cutmix': True},
                                      {'accumulate': 2, 'clip_gradient': 1e-3}, {'wd': 0.1}])
def test_steps_of_nesterov(settings):
    """Two steps; with decay one, since NAG's own operator takes the decay of the second in another way."""
    config = Config(**{'batch_size': 6, 'lr': 0.1, 'num_epochs': 1, 'warmup_epochs': 0, 'wd': 0.0, 'seed': 5,
                            'label_smoothing': 0.1, **settings})
    net = linear()
    step = make_step(net, config, total=4)
    weight, bias = (param.data().asnumpy().astype(float) for param in net.collect_params().values())
    momenta = [0, 0]
    for number in range(1 if config.wd else 2):
        batches = [some(10 * number + place) for place in range(config.accumulate)]
        loss, sums, stopping = step(batches, 0, number)
        assert not stopping
        assert 0 <= sums['right'].asscalar() <= 6 * config.accumulate
        parts = [gradient(weight, bias, labels, *mixed(config, indices, images), 0.1)
                 for indices, (images, labels) in batches]
        found = [np.mean(part, axis=0) for part in zip(*parts)]
        norm = math.sqrt(sum((part ** 2).sum() for part in found))
        if config.clip_gradient:
            assert norm > config.clip_gradient
            found = [part * config.clip_gradient / norm for part in found]
        found[0] = found[0] + config.wd * weight        # not on the bias
        rate = config.rank_lr * 0.5 * (1 + math.cos(math.pi * number / 4))
        momenta = [0.9 * momentum + rate * part for momentum, part in zip(momenta, found)]
        weight, bias = (value - rate * part - 0.9 * momentum
                        for value, part, momentum in zip((weight, bias), found, momenta))
    for param, wanted in zip(net.collect_params().values(), (weight, bias)):
        np.testing.assert_allclose(param.data().asnumpy(), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('accumulate', [1, 3])
def test_the_bits_are_those_of_a_plain_loop(tiny, accumulate):
    """mxnet's own Trainer, one thing after the other."""
    config = Config(batch_size=6, accumulate=accumulate, lr=0.1, num_epochs=1, warmup_epochs=0, mixup=True)
    nets = [tiny(classes=4) for _ in range(2)]
    for net in nets:
        mx.random.seed(1)
        net.initialize(force_reinit=True)
    step, task = make_step(nets[0], config, total=3), Classification(nets[1], nets[1], config, mx.cpu())
    plain = task.assemble(nets[1])
    plain.hybridize(static_alloc=True)
    params = list(nets[1].collect_params().values())
    for param in params:
        param.wd_mult = task.decay(param)
    trainer = mx.gluon.Trainer(nets[1].collect_params(), task.optimizer(config, 0.1), kvstore=None)
    trained = [param for param in params if param.grad_req != 'null']
    for number in range(3):
        batches = [some(10 * number + place, size=32) for place in range(accumulate)]
        found, *_ = step(batches, 0, number)
        trainer.set_learning_rate(step.learning_rate(number))
        losses, total = [], [0] * len(trained)
        for indices, batch in batches:
            inputs, targets = task.prepare(indices, batch, 0, mx.cpu())
            with mx.autograd.record():
                loss = task.loss(plain(*inputs), targets)
            loss.backward()
            losses.append(loss.sum().asscalar())
            total = [each + param.grad() for each, param in zip(total, trained)]
        for each, param in zip(total, trained):
            each.copyto(param.grad())
        trainer.step(6 * accumulate)
        assert found == float(sum(losses))
    for mine, other in zip(nets[0].collect_params().values(), params):
        np.testing.assert_array_equal(mine.data().asnumpy(), other.data().asnumpy())


@pytest.mark.parametrize('settings', [{}, {'clip_gradient': 0.5}, {'accumulate': 2}, {'skip_nonfinite': 1}])
def test_nothing_waits_before_the_exchange(settings, monkeypatch):
    """The next batches are copied before anything waits, too."""
    step = make_step(linear(), Config(batch_size=6, num_epochs=1, **settings))
    count, exchanged = step._config.accumulate, []
    raw = [some(place) for place in range(count)]
    step(raw, 0, 0)     # the first one waits, while operators are set up
    batches = step.prepare(raw, 0)
    with monkeypatch.context() as patch:
        for name in ('asnumpy', 'asscalar', 'wait_to_read'):
            patch.setattr(mx.nd.NDArray, name, lambda *_, name=name: pytest.fail(name))
        patch.setattr(mx.nd, 'waitall', lambda: pytest.fail('waitall'))
        patch.setattr(step.trainer, 'allreduce_grads', lambda: exchanged.append(True))
        step.start(batches, 0, 1)
        step.prepare(raw, 0)
    assert exchanged == [True]
    assert step.finish()[0] > 0


def test_another_rank_s_loss_is_heeded(monkeypatch):
    net = linear()
    step = make_step(net, Config(batch_size=6))
    before = net[2].weight.data().asnumpy()
    monkeypatch.setattr(step._job, 'add_up', lambda signs, name: signs + mx.nd.array([1, 0]))
    with pytest.raises(NonFiniteLoss, match="another rank's loss is not finite"):
        step([some(0)], 0, 0)
    np.testing.assert_array_equal(net[2].weight.data().asnumpy(), before)


class Half(mx.gluon.HybridBlock):
    """Logits from the mean colours, a float16 weight and, as BatchNorm has it, a float32 bias."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.weight = self.params.get('weight', shape=(1, 3), init=mx.init.One())
            self.bias = self.params.get('bias', shape=(1, 3), init=mx.init.Zero())

    def cast(self, dtype):
        self.dtype = dtype
        self.weight.cast(dtype)

    def hybrid_forward(self, F, x, weight, bias):
        mean = F.Flatten(F.Pooling(x, global_pool=True, pool_type='avg', kernel=(1, 1)))
        scaled = F.broadcast_mul(mean, weight)
        return F.cast(F.broadcast_add(F.cast(scaled, 'float32'), bias), self.dtype)


def half_step(dtype, **settings):
    """A network and its step in a precision, on the CPU: what keeps float16 from it are products of matrices."""
    net = Half()
    net.initialize()
    net.cast(dtype)
    config = Config(batch_size=6, lr=0.1, num_epochs=1, warmup_epochs=0, mixup=True, dtype=dtype, **settings)
    return net, make_step(net, config, total=4)


@pytest.mark.parametrize('settings', [{}, {'clip_gradient': 0.05}, {'accumulate': 2}])
def test_half_precision_follows_single_precision(settings):
    found = {}
    for dtype in ('float16', 'float32'):
        net, step = half_step(dtype, **settings)
        if step.scale:
            step.scale.value = 1024.0       # no overflow, which would leave a step out
        for number in range(2):
            indices, (images, labels) = some(number)
            loss, sums, _ = step([(indices, (images, labels % 3))] * step._config.accumulate, 0, number)
        found[dtype] = [loss, sums['right'].asscalar(), *(param.data().asnumpy() for param in (net.weight, net.bias))]
        assert net.weight.dtype == dtype
    assert np.abs(found['float32'][2] - 1).max() > 0.003
    for half, single in zip(found['float16'], found['float32']):
        np.testing.assert_allclose(half, single, rtol=5e-3, atol=1e-3)


def test_an_overflow_of_half_precision_leaves_the_update_out():
    net, step = half_step('float16')
    step.scale.value = 2.0 ** 24
    indices, (images, labels) = some(0)
    step([(indices, (images, labels % 3))], 0, 0)
    assert (step.scale.value, step.skipped) == (2.0 ** 23, 0)
    np.testing.assert_array_equal(net.weight.data().asnumpy(), 1)
    np.testing.assert_array_equal(net.bias.data().asnumpy(), 0)


def test_a_gradient_that_cannot_be_clipped_changes_nothing(monkeypatch):
    net = linear()
    step = make_step(net, Config(batch_size=6, clip_gradient=1.0, skip_nonfinite=1))
    before = net[2].weight.data().asnumpy()

    def poisoned(*args):
        net[2].weight.grad()[0, 0] = np.inf
    monkeypatch.setattr(step.trainer, 'allreduce_grads', poisoned)
    assert step([some(0)], 0, 0)[:2] == (None, None)
    with pytest.raises(NonFiniteLoss, match='the gradient is inf in epoch 1'):
        step([some(0)], 0, 1)
    np.testing.assert_array_equal(net[2].weight.data().asnumpy(), before)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_nothing_changes_where_the_loss_is_not_finite(value):
    net = linear()
    step = make_step(net, Config(batch_size=6))
    net[2].bias.set_data(mx.nd.array([value, 0, 0, 0]))
    before = net[2].weight.data().asnumpy()
    with pytest.raises(NonFiniteLoss, match=r'the loss is nan in epoch 3, learning rate .* on rank 0; samples \d+ '):
        step([some(0)], 2, 0)
    np.testing.assert_array_equal(net[2].weight.data().asnumpy(), before)


def test_a_stop_is_passed_on():
    step = make_step(linear(), Config(batch_size=6))
    assert step([some(0)], 0, 0, stop=True)[2] is True


def test_loss_scale():
    scale = LossScale(8.0, patience=3)
    values = []
    for finite in (True, True, True, False, False, True, True, False, False, False, True, True, True):
        scale.update(finite)
        values.append(scale.value)
    assert values == [8, 8, 16, 8, 4, 4, 4, 2, 1, 1, 1, 1, 2]


def test_float16_needs_a_gpu():
    with pytest.raises(InputError, match='--dtype float16 needs a GPU'):
        recipe.check_device(Config(dtype='float16'), mx.cpu())


def test_decay_is_on_convolution_and_dense_weights_only(tiny):
    net = tiny()
    net.initialize()
    config = Config()
    make_trainer(Classification(net, net, config, mx.cpu()), config, JOB)
    decayed = {name for name, param in net._collect_params_with_prefix().items() if param.wd_mult}
    layers = {name for name in net._collect_params_with_prefix() if name.endswith('.weight')}
    assert decayed == layers
    assert 'fc.weight' in decayed
    assert not any(word in name for name in decayed for word in ('bn', 'bias', 'gamma'))
