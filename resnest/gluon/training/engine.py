"""The training loop: epochs of equal steps on every worker, evaluation, checkpoints."""
import dataclasses
import math
import time
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError, SharedError

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
        ``validate()`` evaluates this worker's share: a dict of counts ``correct1, correct5, seen, nonfinite``.

    Returns the summary, a dict, or None where there is nothing left to do. Raises InputError for a loss or an output
    that is not finite, for a folder that holds another run, and for a checkpoint that does not fit.
    """
    steps = len(batches(0))
    workers.agree('steps of an epoch', steps)
    trainer = _make_trainer(network, config, workers, steps)
    loss_of = SmoothedCrossEntropy(config.label_smoothing)
    loss_of.hybridize()
    folder = Path(config.save_dir)
    state = _resume(config, workers, network, trainer, folder, steps)
    first, best = state['epoch'], state['best']
    if first >= config.num_epochs:
        if workers.rank == 0:
            print(f'{folder}: already trained for {first} of {config.num_epochs} epochs; --num-epochs goes further')
        return None
    monitor = Monitor(folder, workers.rank == 0, state['rows'], state['seconds'])
    for epoch in range(first, config.num_epochs):
        # Dropout and DropBlock differ between workers, as their samples do, and are the same after a resume.
        seed = np.random.SeedSequence((config.seed, epoch, workers.rank)).generate_state(1)[0]
        mx.random.seed(int(seed) % 2 ** 31)
        set_drop_probability(net, dropblock_probability(epoch, config.num_epochs, config.dropblock_prob))
        monitor.begin(epoch, config.num_epochs, steps)
        row = _train_epoch(net, trainer, loss_of, batches(epoch), workers, device, monitor, config.log_interval, epoch)
        last = epoch + 1 == config.num_epochs
        evaluating = last or (epoch + 1) % config.eval_frequency == 0
        saving = last or (epoch + 1) % config.save_frequency == 0
        if evaluating or saving:
            workers.average_statistics(network)
        if evaluating:
            row.update(_evaluate(validate, workers, epoch))
            if best is None or row['top1'] > best['top1']:
                best = {key: row[key] for key in ('epoch', 'top1', 'top5', 'seen')}
                if workers.rank == 0:
                    folder.mkdir(parents=True, exist_ok=True)
                    checkpoint.save_parameters(network, folder / 'best.params')
        monitor.end(row)
        if evaluating:
            monitor.curves()
        if saving and workers.rank == 0:
            checkpoint.save(folder / f'checkpoint-{epoch + 1:04d}.npz', network, trainer,
                            {'epoch': epoch + 1, 'best': best, 'rows': monitor.rows, 'seconds': monitor.seconds(),
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
                            round(steps * config.warmup))
    return workers.trainer(params, mx.optimizer.NAG(momentum=config.momentum, wd=config.wd, lr_scheduler=schedule,
                                                    learning_rate=schedule.peak))


def _resume(config, workers, net, trainer, folder, steps):
    """The state that the run starts from: rank 0 reads the checkpoint for all."""
    path = None

    def read():
        nonlocal path
        newest = checkpoint.latest(folder)
        if not config.resume and newest:
            raise InputError(f'{folder}: holds an earlier run; go on with it by --resume auto, or use another '
                             f'--save-dir')
        path = newest if config.resume == 'auto' else config.resume
        if path and not Path(path).is_file():
            raise InputError(f'{path}: no such checkpoint')
        return Path(path).read_bytes() if path else None

    data = workers.from_first(read, 'checkpoint')
    fresh = {'epoch': 0, 'best': None, 'rows': [], 'seconds': 0.0}
    if data is None:
        return fresh
    state = checkpoint.restore(data, path or 'the checkpoint', net, trainer, steps)
    if workers.total([workers.rank == 0 and not (folder / 'best.params').is_file()], 'best is missing')[0]:
        state['best'] = None        # of another folder: what is best here is still to be found
    return {**fresh, **state}


def _evaluate(validate, workers, epoch):
    found = validate()
    names = ('correct1', 'correct5', 'seen', 'nonfinite')
    correct1, correct5, seen, nonfinite = workers.total([found[name] for name in names], 'validation')
    if nonfinite:
        raise SharedError(f"the network's output after epoch {epoch + 1} is not finite for {nonfinite:.0f} of "
                          f'{seen:.0f} validation images; lower --lr or raise --warmup-epochs')
    return {'top1': 100 * correct1 / seen, 'top5': 100 * correct5 / seen, 'seen': int(seen)}


def _train_epoch(net, trainer, loss_of, loader, workers, device, monitor, interval, epoch):
    """One pass over the loader; returns the epoch's figures over all workers."""
    losses, correct = mx.nd.zeros(1, ctx=device), mx.nd.zeros(1, ctx=device)
    seen, waited, previous = 0, 0.0, None
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
        if previous is not None:
            previous.wait_to_read()         # at most two steps under way, so that batches do not pile up
        previous = loss
        if step % interval == 0 or step == len(loader):
            mean = losses.asscalar() / seen
            if not math.isfinite(mean):
                raise InputError(f'the loss is {mean} in epoch {epoch + 1} at step {step}, learning rate '
                                 f'{trainer.learning_rate:.4g}; lower --lr or raise --warmup-epochs')
            monitor.advance(step - (step - 1) // interval * interval, loss=f'{mean:.3f}',
                            lr=f'{trainer.learning_rate:.3g}', top1=f'{100 * correct.asscalar() / seen:.1f}')
        asked = time.perf_counter()
    seconds = time.perf_counter() - start
    loss_sum, right, count = workers.total([losses.asscalar(), correct.asscalar(), seen], 'training')
    return {'epoch': epoch + 1, 'loss': loss_sum / count, 'train_top1': 100 * right / count,
            'lr': trainer.learning_rate, 'images_per_second': count / seconds, 'seconds': seconds,
            'waiting': waited / seconds, **({'skipped': len(loader.skipped)} if loader.skipped else {})}
