"""One step of training: forward and backward over the batches of a step, exchange, update."""
import contextlib
import math

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.distributed import STATISTICS
from resnest.gluon.mxnet_private import complete_gradients, expect_gradients, pending_average
from resnest.gluon.streams import STEP, generator

from ..methods.loss_scale import LossScale
from ..methods.optimizer import make_trainer
from ..methods.rewriting import for_cpu
from ..methods.schedule import make_schedule
from .chatter import without_chatter

__all__ = ['NonFiniteLoss', 'Step']


class NonFiniteLoss(InputError):
    """The loss is not finite; nothing has been updated."""


class Step:
    """Trains a task's network in place: :meth:`start` and :meth:`finish` once a step, with the step's batches.

    Parameters
    ----------
    task : Task
    config : TrainConfig
    job : distributed.Job
    device : Context
    total : int
        Steps of the whole run.
    warmup : int
        Steps of the warm-up.
    """

    def __init__(self, task, config, job, device, total, warmup):
        self.trainer = make_trainer(task, config, job)
        self._shapes = set()    # of images, that operators are set up for
        self.skipped = 0        # steps left out since their loss was not finite
        self.scale = LossScale() if config.dtype == 'float16' else None
        self._task, self._config, self._job, self._device = task, config, job, device
        self._schedule = make_schedule(config, total, warmup)
        net = task.assemble(task.network)
        on_cpu = device.device_type == 'cpu'
        self.net = for_cpu(net, config.dtype, not config.eval_only, task.same_shapes) if on_cpu else net
        self.net.hybridize(static_alloc=True, static_shape=task.same_shapes)
        params = task.network.collect_params()
        self._params = [param for param in params.values() if param.grad_req != 'null']
        self._statistics = [param for name, param in params.items() if name.endswith(STATISTICS)]
        self._sums = [mx.nd.zeros_like(param.data()) for param in self._params] if config.accumulate > 1 else None

    def __call__(self, batches, epoch, number, stop=False):
        """Do a step with batches as the task's loader gives them: :meth:`start` and :meth:`finish` in one."""
        self.start(self.prepare(batches, epoch), epoch, number, stop)
        return self.finish()

    def prepare(self, batches, epoch):
        """``batches`` as :meth:`start` takes them, on the device: of each the indices, the inputs, the targets.

        ``batches`` is this rank's ``config.accumulate`` batches, ``(indices, batch)``, the latter as the task's loader
        gave it. Nothing is waited for, and so the next step's can be copied while this one is computed.
        """
        return [(indices, *self._task.prepare(indices, batch, epoch, self._device)) for indices, batch in batches]

    def start(self, batches, epoch, number, stop=False):
        """Begin step ``number`` of the whole run, in ``epoch`` (both from 0); a collective of all ranks.

        Everything up to the exchange of the gradients is handed to mxnet's engine, which lets each gradient travel as
        soon as the backward pass has made it: nothing is waited for. ``batches`` are as :meth:`prepare` makes them, and
        ``stop`` says whether this rank was asked to stop.
        """
        config = self._config
        # Dropout and DropBlock differ between ranks and steps, and are the same after a resume. With the device named
        # mxnet does not add its number, which may be another one then.
        mx.random.seed(int(generator(STEP, config.seed, number, self._job.rank).integers(2 ** 31)), ctx=self._device)
        backup = [param.data().copy() for param in self._statistics] if config.skip_nonfinite else None
        losses, sums = [], dict.fromkeys(self._task.sums, 0)
        grads = [param.grad() for param in self._params]
        for place, (_, inputs, targets) in enumerate(batches):
            shape = inputs[0].shape
            with contextlib.nullcontext() if shape in self._shapes else without_chatter():
                outputs, loss = self._backward(inputs, targets)
            self._shapes.add(shape)
            if self._sums:
                _accumulate(self._sums, grads, place == 0, place == len(batches) - 1)
            if place == len(batches) - 1:
                self.trainer.allreduce_grads()
            nothing = sum((output * 0).sum() for output in self._task.watched(outputs))
            losses.append(loss.sum() + nothing)
            counted = self._task.count(outputs, targets, loss)
            sums = {name: sums[name] + counted[name] for name in sums}
        bad = 1 - mx.nd.contrib.isfinite(sum(losses))
        signs = mx.nd.concat(bad, mx.nd.full(bad.shape, stop, ctx=bad.context), dim=0)
        self._started = batches, epoch, number, backup, losses, sums, self._job.add_up(signs, 'step')

    def finish(self):
        """End the step that :meth:`start` began, by the update of the weights; a collective of all ranks.

        Returns the sum of the losses, the task's sums, a dict of NDArrays (both None where the step was left out), and
        whether any rank was asked to stop. Raises NonFiniteLoss, on all of them, before anything but running statistics
        has changed. It waits for the loss of all ranks, and for the gradients only where their norm is asked for.
        """
        batches, epoch, number, backup, losses, sums, signs = self._started
        nonfinite, stopping = signs.asnumpy().tolist()
        loss = float(sum(each.asscalar() for each in losses))
        self.trainer.set_learning_rate(self.learning_rate(number))
        indices = np.concatenate([indices for indices, *_ in batches])
        if nonfinite:
            self._leave_out('loss', loss, indices, epoch, backup)
            return None, None, bool(stopping)
        norm = self._update(len(indices))
        if not math.isfinite(norm):
            self._leave_out('gradient', norm, indices, epoch, backup)
            return None, None, bool(stopping)
        return loss, sums, bool(stopping)

    def learning_rate(self, number):
        """Of step ``number`` of the whole run, for the whole gradient."""
        return self._config.rank_lr * self._job.size * self._schedule(number)

    def _backward(self, inputs, targets):
        """``(outputs, losses)`` of a batch, whose gradients are on their way."""
        expect_gradients(self._params)
        with mx.autograd.record():
            outputs = _single_precision(self.net(*inputs))
            loss = self._task.loss(outputs, targets)
            scaled = loss * self.scale.value if self.scale else loss
        scaled.backward()
        complete_gradients(self._params)
        return outputs, loss

    def _update(self, images):
        """Clip the exchanged gradients, update the weights; returns a norm to clip that is not finite, or 0.

        An overflow of float16 leaves the update out.
        """
        images = images * (self.scale.value if self.scale else 1.0)
        if self.scale or self._config.clip_gradient:
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

    def _leave_out(self, what, value, indices, epoch, backup):
        """Count a step without update, or end the run where there have been too many."""
        self.skipped += 1
        told = f'the {what} is {value} in epoch {epoch + 1}, learning rate {self.trainer.learning_rate:.4g}, on ' \
               f'rank {self._job.rank}; samples {_listed(indices)}'
        if self.skipped > self._config.skip_nonfinite:
            mx.nd.waitall()     # for the gradients, which no rank leaves to the others alone
            if math.isfinite(value):
                raise NonFiniteLoss("another rank's loss is not finite; its own message says where")
            raise NonFiniteLoss(f'{told}; look at them, lower --lr, raise --warmup-epochs, or use --skip-nonfinite')
        if not math.isfinite(value):
            print(f'warning: {told}; left out ({self.skipped} of {self._config.skip_nonfinite})', flush=True)
        for param, value in zip(self._statistics, backup):
            value.copyto(param.data())


def _accumulate(sums, grads, first, last):
    """Add a batch's gradients to the sums of a step's batches; after the last one the gradients are the sums."""
    for total, grad in zip(sums, grads):
        if first:
            grad.copyto(total)
        else:
            (grad if last else total)[:] = total + grad


def _single_precision(outputs):
    """What a network returns, an NDArray or lists of them, with float32 in the place of float16."""
    if isinstance(outputs, (list, tuple)):
        return tuple(map(_single_precision, outputs))
    return outputs.astype('float32') if outputs.dtype == np.float16 else outputs


def _norm(arrays):
    """The Euclidean norm of all values together."""
    # multi_sum_sq squares float16 in float16, and takes no BatchNorm's float32 beside it.
    arrays = [array.astype('float32', copy=False) for array in arrays]
    return math.sqrt(mx.nd.multi_sum_sq(*arrays, num_arrays=len(arrays)).asnumpy().sum(dtype=np.float64))


def _listed(indices, most=16):
    shown = ' '.join(str(int(index)) for index in indices[:most])
    return shown + (f' and {len(indices) - most} more' if len(indices) > most else '')
