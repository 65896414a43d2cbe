"""One step of training: forward and backward over the batches of a step, exchange, update."""
import math

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import with_normalization
from resnest.gluon.distributed import STATISTICS
from resnest.gluon.mxnet_private import pending_average
from resnest.gluon.tasks.classification import mixup
from resnest.gluon.tasks.classification.losses import SmoothedCrossEntropy

from ..methods.finetuning import freeze, scale_backbone
from ..methods.schedule import cosine_ramp

__all__ = ['LossScale', 'NonFiniteLoss', 'Step', 'make_trainer']


class NonFiniteLoss(InputError):
    """The loss is not finite; nothing has been updated."""


class LossScale:
    """The factor that keeps float16 gradients above zero (Micikevicius et al., 2018): halved when they overflow,
    doubled after ``patience`` steps without."""

    def __init__(self, value=2.0 ** 15, patience=2000):
        self.value = value
        self.patience = patience
        self.good = 0

    def update(self, finite):
        """Take note of a step whose gradients were finite, or were not."""
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value = max(1.0, self.value / 2)
        elif self.good == self.patience:
            self.value, self.good = self.value * 2, 0


def make_trainer(network, config, workers):
    """Nesterov's gradient, with decay on the weights of convolutions and dense layers only (section 5.1)."""
    freeze(network, config.freeze or ())
    if config.backbone_lr_factor != 1:
        scale_backbone(network, config.backbone_lr_factor)
    params = network.collect_params()
    for name, param in params.items():
        param.wd_mult = 1.0 if name.endswith('weight') else 0.0
    optimizer = mx.optimizer.NAG(momentum=config.momentum, wd=config.wd, learning_rate=config.worker_lr * workers.size,
                                 multi_precision=config.dtype == 'float16')
    return workers.trainer(params, optimizer, config.fp16_compression)


class Step:
    """Trains ``network`` in place; called once a step with the step's batches.

    Parameters
    ----------
    network : HybridBlock
        From normalized ``(N, 3, H, W)`` to logits ``(N, classes)``.
    config : TrainConfig
    workers : distributed.Workers
    device : Context
    total : int
        Steps of the whole run.
    warmup : int
        Steps of the warm-up.
    """

    def __init__(self, network, config, workers, device, total, warmup):
        self.trainer = make_trainer(network, config, workers)
        self.skipped = 0        # steps left out since their loss was not finite
        self.scale = LossScale() if config.dtype == 'float16' else None
        self._config, self._workers, self._device = config, workers, device
        self._total, self._warmup = total, warmup
        self.net = with_normalization(network, config.dtype)
        self.net.hybridize(static_alloc=True)
        self._loss_of = SmoothedCrossEntropy(config.label_smoothing)
        self._loss_of.hybridize()
        self._params = [param for param in network.collect_params().values() if param.grad_req != 'null']
        self._statistics = [param for name, param in network.collect_params().items()
                            if name.endswith(STATISTICS)]
        self._sums = [mx.nd.zeros_like(param.data()) for param in self._params] if config.accumulate > 1 else None

    def __call__(self, batches, epoch, number, stop=False):
        """Do step ``number`` of the whole run, in ``epoch`` (both from 0).

        ``batches`` is this worker's ``config.accumulate`` batches ``(indices, images, labels)``. Returns the sum of
        the losses, the NDArray of images that were right (both None where the step was left out), and whether any
        worker was asked to stop. A meeting of all workers. Raises NonFiniteLoss, on all of them, before anything but
        running statistics has changed.
        """
        config = self._config
        # Dropout and DropBlock differ between workers and steps, and are the same after a resume.
        seed = np.random.SeedSequence((config.seed, number, self._workers.rank)).generate_state(1)[0]
        mx.random.seed(int(seed) % 2 ** 31)
        backup = [param.data().copy() for param in self._statistics] if config.skip_nonfinite else None
        losses, right = [], 0
        for place, batch in enumerate(batches):
            loss, correct = self._backward(*batch, epoch)
            losses.append(loss)
            right = right + correct
            if self._sums:
                for total, param in zip(self._sums, self._params):
                    total[:] = param.grad() if place == 0 else total + param.grad()
        loss = float(sum(each.asscalar() for each in losses))
        nonfinite, stopping = self._workers.total([not math.isfinite(loss), stop], 'step')
        self.trainer.set_learning_rate(self.learning_rate(number))
        if nonfinite:
            self._leave_out('loss', loss, batches, epoch, backup)
            return None, None, bool(stopping)
        if self._sums:
            for total, param in zip(self._sums, self._params):
                total.copyto(param.grad())
        norm = self._update(sum(len(labels) for _, _, labels in batches))
        if not math.isfinite(norm):
            self._leave_out('gradient', norm, batches, epoch, backup)
            return None, None, bool(stopping)
        return loss, right, bool(stopping)

    def learning_rate(self, number):
        """Of step ``number`` of the whole run, for the whole gradient."""
        return self._config.worker_lr * self._workers.size * cosine_ramp(number, self._total, self._warmup)

    def _backward(self, indices, images, labels, epoch):
        config = self._config
        x = mx.nd.array(images, ctx=self._device, dtype='uint8')
        y = mx.nd.array(labels, ctx=self._device, dtype='float32')
        mixed = ()
        if config.mixup:        # once traced with shares, always with shares: ones change nothing
            shares = mixup.draw(config.seed, epoch, indices, config.mixup_alpha, config.mixup_mode) \
                if config.mixes(epoch) else np.ones(len(labels), dtype=np.float32)
            mixed = (mx.nd.array(shares, ctx=self._device),)
            x = mixup.mix(x, mixed[0]) if config.mixes(epoch) else x.astype('float32')
        with mx.autograd.record():
            logits = self.net(x).astype('float32', copy=False)
            loss = self._loss_of(logits, y, *mixed)
            scaled = loss * self.scale.value if self.scale else loss
        scaled.backward()
        # On a CPU a NaN among the logits leaves the other classes' log_softmax finite.
        return loss.sum() + (logits * 0).sum(), (logits.argmax(axis=1) == y).sum()

    def _update(self, images):
        """Exchange the gradients, clip them, update the weights; returns a norm to clip that is not finite, or 0.

        An overflow of float16 leaves the update out.
        """
        self.trainer.allreduce_grads()
        images = images * (self.scale.value if self.scale else 1.0)
        if self.scale or self._config.clip_gradient:
            # With an average over workers that is still to be taken (pending_average).
            norm = _norm([param.grad() for param in self._params]) * pending_average(self.trainer) / images
            if self.scale:
                self.scale.update(math.isfinite(norm))
                if not math.isfinite(norm):
                    return 0.0
            if self._config.clip_gradient:
                if not math.isfinite(norm):
                    return norm
                images *= max(1.0, norm / self._config.clip_gradient)
        self.trainer.update(images)
        return 0.0

    def _leave_out(self, what, value, batches, epoch, backup):
        """Count a step without update, or end the run where there have been too many."""
        self.skipped += 1
        told = f'the {what} is {value} in epoch {epoch + 1}, learning rate {self.trainer.learning_rate:.4g}, on ' \
               f'worker {self._workers.rank}; samples {_listed(np.concatenate([indices for indices, _, _ in batches]))}'
        if self.skipped > self._config.skip_nonfinite:
            if math.isfinite(value):
                raise NonFiniteLoss("another worker's loss is not finite; its own message says where")
            raise NonFiniteLoss(f'{told}; look at them, lower --lr, raise --warmup-epochs, or use --skip-nonfinite')
        if not math.isfinite(value):
            print(f'warning: {told}; left out ({self.skipped} of {self._config.skip_nonfinite})', flush=True)
        for param, value in zip(self._statistics, backup):
            value.copyto(param.data())


def _norm(arrays):
    """The Euclidean norm of all values together."""
    # multi_sum_sq squares float16 in float16, and takes no BatchNorm's float32 beside it.
    arrays = [array.astype('float32', copy=False) for array in arrays]
    return math.sqrt(mx.nd.multi_sum_sq(*arrays, num_arrays=len(arrays)).asnumpy().sum(dtype=np.float64))


def _listed(indices, most=16):
    shown = ' '.join(str(int(index)) for index in indices[:most])
    return shown + (f' and {len(indices) - most} more' if len(indices) > most else '')
