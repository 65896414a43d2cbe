"""The training loop: epochs of equal steps on every worker, evaluation, checkpoints."""
import dataclasses
import math
import time
from pathlib import Path

import mxnet as mx

from resnest.errors import InputError

from ..nn import set_drop_probability
from . import checkpoint
from .losses import SmoothedCrossEntropy
from .monitor import Monitor
from .schedule import WarmupCosine, dropblock_probability

__all__ = ['fit']


def fit(network, net, config, workers, device, batches, validate):
    """Train ``network`` by the recipe ``config`` and write everything into ``config.save_dir``.

    Parameters
    ----------
    network : HybridBlock
        What is saved; its parameters have values.
    net : HybridBlock
        The network behind its normalization: from uint8 ``(N, size, size, 3)`` to logits ``(N, classes)``.
    config : TrainConfig
    workers : distributed.Workers
    device : Context
    batches : callable
        ``batches(epoch)`` is this worker's loader; its length is the same on all workers and in all epochs.
    validate : callable
        ``validate()`` evaluates this worker's share: a dict of counts ``correct1, correct5, seen``.

    Returns the summary, a dict. Raises InputError for a loss that is not finite and for a checkpoint that
    does not fit.
    """
    steps = len(batches(0))
    trainer = _make_trainer(network, config, workers, steps)
    loss_of = SmoothedCrossEntropy(config.label_smoothing)
    loss_of.hybridize()
    folder = Path(config.save_dir)
    state = _resume(config, network, trainer, folder) or {'epoch': 0, 'step': 0, 'best': None}
    best = state['best']
    monitor = Monitor(folder, active=workers.rank == 0)
    monitor.restore(state['epoch'])
    for epoch in range(state['epoch'], config.num_epochs):
        if config.dropblock_prob:
            set_drop_probability(net, dropblock_probability(epoch, config.num_epochs, config.dropblock_prob))
        monitor.begin(epoch, config.num_epochs, steps)
        row = _train_epoch(net, trainer, loss_of, batches(epoch), workers, device, monitor, config.log_interval, epoch)
        last = epoch + 1 == config.num_epochs
        evaluating = last or (epoch + 1) % config.eval_frequency == 0
        saving = last or (epoch + 1) % config.save_frequency == 0
        if evaluating or saving:
            workers.average_statistics(network)
        if evaluating:
            found = validate()
            correct1, correct5, seen = workers.total([found[key] for key in ('correct1', 'correct5', 'seen')],
                                                     'validation')
            row.update(top1=100 * correct1 / seen, top5=100 * correct5 / seen, seen=int(seen))
            if best is None or row['top1'] > best['top1']:
                best = {key: row[key] for key in ('epoch', 'top1', 'top5', 'seen')}
                if workers.rank == 0:
                    checkpoint.save_parameters(network, folder / 'best.params')
        monitor.end(row)
        if evaluating:
            monitor.curves()
        if saving and workers.rank == 0:
            checkpoint.save(folder / f'checkpoint-{epoch + 1:04d}.npz', network, trainer,
                            {'epoch': epoch + 1, 'step': (epoch + 1) * steps, 'best': best,
                             'config': dataclasses.asdict(config)})
    summary = dict(best, model=config.model, epochs=config.num_epochs, workers=workers.size,
                   global_batch_size=config.batch_size * workers.size, config=dataclasses.asdict(config))
    monitor.summary(**summary)
    workers.finish()
    return summary


def _make_trainer(net, config, workers, steps):
    params = net.collect_params()
    for name, param in params.items():
        # Weight decay on the weights of convolutions and dense layers only (section 5.1).
        param.wd_mult = 1.0 if name.endswith('weight') else 0.0
    schedule = WarmupCosine(config.worker_lr * workers.size, steps * config.num_epochs,
                            round(steps * config.warmup_epochs))
    return workers.trainer(params, mx.optimizer.NAG(momentum=config.momentum, wd=config.wd, lr_scheduler=schedule,
                                                    learning_rate=schedule.peak))


def _resume(config, net, trainer, folder):
    """The state of the checkpoint that the run is to go on from, or None to start afresh."""
    path = checkpoint.latest(folder) if config.resume == 'auto' else config.resume
    return checkpoint.load(path, net, trainer) if path else None


def _train_epoch(net, trainer, loss_of, loader, workers, device, monitor, interval, epoch):
    """One pass over the loader; returns the epoch's figures over all workers."""
    losses, correct = mx.nd.zeros(1, ctx=device), mx.nd.zeros(1, ctx=device)
    seen, waited = 0, 0.0
    start = asked = time.perf_counter()
    for step, (images, labels) in enumerate(loader, 1):
        waited += time.perf_counter() - asked
        x = mx.nd.array(images, ctx=device, dtype='uint8')
        y = mx.nd.array(labels, ctx=device, dtype='float32')
        with mx.autograd.record():
            logits = net(x)
            loss = loss_of(logits, y)
        loss.backward()
        trainer.step(len(labels))
        losses += loss.sum()
        correct += (logits.argmax(axis=1) == y).sum()
        seen += len(labels)
        if step % interval == 0 or step == len(loader):
            mean = losses.asscalar() / seen     # waits for the device
            if not math.isfinite(mean):
                raise InputError(f'the loss is {mean} in epoch {epoch + 1} at step {step}, learning rate '
                                 f'{trainer.learning_rate:.4g}; lower --lr or raise --warmup-epochs')
            monitor.advance(step - (step - 1) // interval * interval, loss=f'{mean:.3f}',
                            lr=f'{trainer.learning_rate:.3g}', top1=f'{100 * correct.asscalar() / seen:.1f}')
        asked = time.perf_counter()
    seconds = time.perf_counter() - start
    loss_sum, right, count = workers.total([losses.asscalar(), correct.asscalar(), seen], 'training')
    return {'epoch': epoch, 'loss': loss_sum / count, 'train_top1': 100 * right / count,
            'lr': trainer.learning_rate, 'images_per_second': count / seconds, 'seconds': seconds,
            'waiting': waited / seconds, **({'skipped': len(loader.skipped)} if loader.skipped else {})}
