"""The training loop: epochs of equal steps on every worker, evaluation, checkpoints."""
import contextlib
import itertools
import time
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError, SharedError
from resnest.files import replace_file
from resnest.gluon.data import with_normalization
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.nn import set_drop_probability, use_native

from .. import recipe
from ..methods.averaging import AveragedWeights
from ..methods.schedule import dropblock_probability
from ..reporting.monitor import Monitor
from . import checkpoint
from .interrupt import EXIT_AGAIN, StopRequest, sole_run
from .state import COUNTERS, collect, restore
from .step import Step

__all__ = ['fit']


def fit(network, twin, config, workers, device, batches, validate):
    """Train ``network`` by the recipe ``config`` and write everything into ``config.save_dir``.

    Parameters
    ----------
    network : HybridBlock
        From normalized images ``(N, 3, size, size)`` to logits ``(N, classes)``; its parameters have values.
    twin : HybridBlock
        Another of the same kind, to evaluate and to save: MXNet reorders in place the weights of a network
        that it evaluates, and training would not be the same bit for bit afterwards.
    config : TrainConfig
    workers : distributed.Workers
    device : Context
    batches : callable
        ``batches(epoch, start)`` is this worker's loader from batch ``start`` on; all workers and epochs have as many.
    validate : callable
        ``validate(net)`` evaluates this worker's share, uint8 ``(N, size, size, 3)`` to logits: a dict of counts
        ``correct1, correct5, seen, nonfinite``.

    Returns the exit code: 0, or 75 where SIGTERM ended the run early. Raises InputError for a loss or an output that
    is not finite, for a folder that holds another run, and for a checkpoint that does not fit.
    """
    recipe.check_device(config, device)
    warning = recipe.check_batch(config)
    if warning and workers.rank == 0:
        print(f'warning: {warning}', flush=True)
    with contextlib.ExitStack() as stack:
        workers.from_first(lambda: stack.enter_context(sole_run(config.save_dir)), 'lock')
        stop = stack.enter_context(StopRequest())
        run = _Run(network, twin, config, workers, device, batches, validate)
        code = run.go(stop)
        workers.finish()
    return code


class _Run:
    def __init__(self, network, twin, config, workers, device, batches, validate):
        self.config, self.workers, self.batches, self.validate = config, workers, batches, validate
        self.steps = len(batches(0, 0)) // config.accumulate
        if not self.steps:
            raise SharedError(f'--accumulate {config.accumulate}: an epoch has {len(batches(0, 0))} batches only')
        workers.agree('steps of an epoch', self.steps)
        for each in (network, twin):
            each.cast(config.dtype)
            use_native(each)
        self.network, self.twin = network, twin
        self.evaluated = with_normalization(twin, config.dtype)
        self.evaluated.hybridize(static_alloc=True)
        self.step = Step(network, config, workers, device, self.steps * config.num_epochs,
                         round(self.steps * config.warmup))
        self.averages = AveragedWeights(network, config.ema_decay) if config.ema_decay else None
        self.folder = Path(config.save_dir)
        self.recipe = recipe.resolved(config, workers.size, self.steps)
        state, self.counters = self._resume()
        self.epoch, self.done, self.best = state['epoch'], state['step'], state['best']
        self.monitor = Monitor(self.folder, workers.rank == 0, state['rows'], state['seconds'])

    def go(self, stop):
        """Train until the end, or until ``stop`` is asked for; returns the exit code."""
        if self.epoch >= self.config.num_epochs:
            self._say(f'{self.folder}: already trained for all of {self.config.num_epochs} epochs')
            if not (self.folder / 'summary.json').exists():
                self._summarize()       # killed before it was written
            return 0
        self._try('config.yaml', lambda: replace_file(self.folder / 'config.yaml', recipe.to_yaml(self.recipe)))
        while self.epoch < self.config.num_epochs:
            row = self._train_epoch(stop)
            if row is None:
                self._say(f'stopped on request after {self.done} steps of epoch {self.epoch + 1}; --resume auto '
                          f'goes on')
                return EXIT_AGAIN
            self.epoch, self.done, self.counters = self.epoch + 1, 0, dict.fromkeys(COUNTERS, 0.0)
            last = self.epoch == self.config.num_epochs
            evaluating = last or self.epoch % self.config.eval_frequency == 0
            if evaluating:
                row.update(self._evaluate())
            self.monitor.end(row)
            if evaluating:
                self.monitor.curves()
            if last or self.epoch % self.config.save_frequency == 0:
                self._save()
        self._summarize()
        return 0

    def _summarize(self):
        self.monitor.summary(**self.best or {}, model=self.config.model, epochs=self.config.num_epochs,
                             workers=self.workers.size, global_batch_size=self.recipe['derived']['global_batch_size'],
                             skipped_steps=self.step.skipped, config=self.recipe)

    def _train_epoch(self, stop):
        """The rest of an epoch; returns its figures over all workers, or None where a stop was asked for."""
        config, counters, epoch = self.config, self.counters, self.epoch
        set_drop_probability(self.step.net, dropblock_probability(epoch, config.num_epochs, config.dropblock_prob))
        self.monitor.begin(epoch, config.num_epochs, self.steps, self.done)
        loader = self.batches(epoch, self.done * config.accumulate)
        source = iter(zip(loader.batches, loader))
        right = mx.nd.array([counters['right']])
        skipped, shown, waited_then = counters['skipped_records'], self.done, counters['waited']
        start = asked = time.perf_counter()
        trained = counters['training']
        while self.done < self.steps:
            chunk = [(indices, *pair) for indices, pair in itertools.islice(source, config.accumulate)]
            counters['waited'] += time.perf_counter() - asked
            loss, correct, stopping = self.step(chunk, epoch, epoch * self.steps + self.done, stop.made)
            if loss is not None:
                right = right + correct.as_in_context(right.context)
                counters['loss'] += loss
                counters['seen'] += sum(len(labels) for _, _, labels in chunk)
                if self.averages:
                    self.averages.update()
            self.done += 1
            ending = self.done == self.steps
            saving = config.save_steps and self.done % config.save_steps == 0
            if self.done % config.log_interval == 0 or ending or saving or stopping:
                counters.update(right=float(right.asscalar()), skipped_records=skipped + len(loader.skipped),
                                training=trained + time.perf_counter() - start)
                images = (self.done - shown) * self.recipe['derived']['global_batch_size']
                self.monitor.advance(self.done - shown, images, counters['waited'] - waited_then,
                                     loss=f"{counters['loss'] / max(1, counters['seen']):.3f}",
                                     lr=f'{self.step.trainer.learning_rate:.3g}')
                shown, waited_then = self.done, counters['waited']
            if saving or stopping:
                self._save()
            if stopping:
                return None
            asked = time.perf_counter()
        loss, right, seen, waited, seconds, bad = self.workers.total([counters[name] for name in COUNTERS], 'training')
        seen = max(1, seen)
        return {'epoch': epoch + 1, 'loss': loss / seen, 'train_top1': 100 * right / seen,
                'lr': self.step.learning_rate((epoch + 1) * self.steps - 1),
                'images_per_second': seen / seconds * self.workers.size,
                'seconds': seconds / self.workers.size, 'waiting': waited / seconds,
                **({'skipped': int(bad)} if bad else {})}

    def _evaluate(self):
        """Top-1 and top-5 of all workers' weights, moving averages where there are; the best are saved."""
        values = self.averages.arrays() if self.averages else \
            {name: param.data() for name, param in structural_parameters(self.network).items()}
        for name, param in structural_parameters(self.twin).items():
            param.set_data(values[name].astype(param.dtype, copy=False))
        self.workers.average_statistics(self.twin)
        found = self.validate(self.evaluated)
        names = ('correct1', 'correct5', 'seen', 'nonfinite')
        correct1, correct5, seen, nonfinite = self.workers.total([found[name] for name in names], 'validation')
        if nonfinite:
            raise SharedError(f"the network's output after epoch {self.epoch} is not finite for {nonfinite:.0f} of "
                              f'{seen:.0f} validation images; lower --lr or raise --warmup-epochs')
        row = {'top1': 100 * correct1 / seen, 'top5': 100 * correct5 / seen, 'seen': int(seen)}
        better = self.best is None or row['top1'] > self.best['top1']
        if better and self._try('best.params',
                                lambda: checkpoint.save_parameters(self.folder / 'best.params', self.twin)):
            self.best = {'epoch': self.epoch, **row}
        return row

    def _save(self):
        """Write a checkpoint and remove the old ones; a meeting of all workers."""
        arrays = collect(self.network, self.step, self.averages, self.counters, self.workers)
        wrong = [name for name, values in arrays.items() if not np.isfinite(values).all()]
        if wrong:       # the next loss will tell; the checkpoint before is the one to go on from
            return self._say(f'warning: {self.folder}: checkpoint was not written: {wrong[0]} is not finite')
        state = {'epoch': self.epoch, 'step': self.done, 'best': self.best, 'rows': self.monitor.rows,
                 'seconds': self.monitor.seconds(), 'recipe': self.recipe, 'skipped_steps': self.step.skipped,
                 'loss_scale': self.step.scale and [self.step.scale.value, self.step.scale.good],
                 'versions': recipe.versions()}
        if self._try('checkpoint', lambda: checkpoint.save(self.folder, self.epoch, self.done, arrays, state)) and \
                self.workers.rank == 0:
            checkpoint.prune(self.folder, self.config.keep)

    def _resume(self):
        """The state and this worker's counters to start from: rank 0 reads the checkpoint for all."""
        path, damaged = None, []

        def read():
            nonlocal path, damaged
            if self.config.resume not in (None, 'auto'):
                path = Path(self.config.resume)
                return checkpoint.read(path, self.folder)
            if self.config.resume is None and checkpoint.found(self.folder):
                raise InputError(f'{self.folder}: holds an earlier run; go on with it by --resume auto, or use another '
                                 f'--save-dir')
            path, data, damaged = checkpoint.newest(self.folder)
            if data is None and damaged:
                raise InputError(f'{damaged[0]}: damaged, and there is no older checkpoint; remove it to start anew')
            return data

        data = self.workers.from_first(read, 'checkpoint')
        for each in damaged:
            self._say(f'warning: {each} is damaged; the one before it is used')
        if data is None:
            return ({'epoch': 0, 'step': 0, 'best': None, 'rows': [], 'seconds': 0.0},
                    dict.fromkeys(COUNTERS, 0.0))
        name = path or 'the checkpoint'
        state, counters = restore(data, name, self.network, self.step, self.averages, self.workers)
        self._compare(name, state['recipe'])
        before = state['recipe']['derived']['global_batch_size']
        # With another global batch, as many whole steps of it as the samples that were seen fill.
        state['step'] = min(state['step'] * before // self.recipe['derived']['global_batch_size'], self.steps)
        if self.workers.total([self.workers.rank == 0 and not (self.folder / 'best.params').is_file()], 'no best')[0]:
            state['best'] = None        # of another folder: what is best here is still to be found
        self._say(f"going on from {name}: epoch {state['epoch'] + 1}, step {state['step']}")
        return state, counters

    def _compare(self, name, before):
        """Tell what contradicts the checkpoint's recipe; refuse it unless the checkpoint was named."""
        changed = recipe.differences(self.config, before, self.workers.size, self.steps)
        if changed and self.config.resume == 'auto':
            raise SharedError(f"{name}: of another recipe: {', '.join(changed)}; give the options that it was trained "
                              f'with, or go on with the new ones by --resume {name}')
        for each in changed:
            self._say(f'note: changed since the checkpoint: {each}')

    def _say(self, text):
        if self.workers.rank == 0:
            print(text, flush=True)

    def _try(self, name, write):
        """Write on rank 0; training goes on without what does not fit on the disk. Whether all is well there."""
        if self.workers.rank:
            return True
        try:
            write()
        except OSError as error:
            print(f'warning: {self.folder}: {name} was not written: {error.strerror or error}', flush=True)
            return False
        return True
