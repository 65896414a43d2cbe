"""The training loop of any task: epochs of equal steps on every rank, evaluation, checkpoints."""
import contextlib
import json
import time
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import SharedError
from resnest.files import replace_file
from resnest.gluon.nn import use_native
from resnest.reading import file_digest

from .. import recipe
from ..methods.averaging import AveragedWeights
from ..reporting.monitor import Monitor, left_out
from . import checkpoint
from .ahead import Epochs
from .beginning import resume, told_by
from .interrupt import StopRequest, sole_run
from .state import COUNTERS, collect
from .step import Step
from .validation import Validation, plain

__all__ = ['fit']


def fit(task, config, job, device):
    """Train the network of ``task`` by the recipe ``config`` and write everything into ``config.save_dir``.

    Parameters
    ----------
    task : Task
        See :class:`resnest.gluon.training.Task`.
    config : TrainConfig
    job : distributed.Job
    device : Context

    With ``config.eval_only`` nothing is written: the weights that the run would go on from are evaluated.

    Returns the exit code: 0, or that of :class:`.interrupt.StopRequest` where the run was asked to stop. Raises
    InputError for a loss or output that is not finite, a folder that holds another run, a checkpoint that does not fit.
    """
    recipe.check_device(config, device)
    task.figures = task.figures.by(config.best)
    for warning in filter(None, (task.check(config), not config.eval_only and recipe.check_warmup(config))):
        if job.rank == 0:
            print(f'warning: {warning}', flush=True)
    with contextlib.ExitStack() as stack:
        if not config.eval_only:
            job.from_first(lambda: stack.enter_context(sole_run(config.save_dir)), 'lock')
        stop = stack.enter_context(StopRequest(config.time_limit))
        run = _Run(task, config, job, device, stop)
        stack.callback(run.epochs.close)
        stack.callback(run.monitor.close)       # an error begins a line of its own
        code = run.show() if config.eval_only else run.go()
        job.finish()
    return code


class _Run:
    def __init__(self, task, config, job, device, stop):
        self.task, self.config, self.job, self.stop = task, config, job, stop
        batches = len(task.batches(0, 0))
        self.steps = batches // config.accumulate
        if not self.steps:
            raise SharedError(f'--accumulate {config.accumulate}: an epoch has {batches} batches only')
        job.agree('steps of an epoch', self.steps)
        config.settle_steps(self.steps)
        self.total = config.total_steps(self.steps)
        for each in (task.network, task.twin):
            each.cast(config.weights_dtype)
            use_native(each)
        self.step = Step(task, config, job, device, self.total, round(self.steps * config.warmup))
        self.averages = AveragedWeights(task.network, config.ema_decay) if config.ema_decay else None
        self.epochs, self.validation = Epochs(task, config, self.step), Validation(task, self.averages, job, stop)
        self.folder = Path(config.save_dir)
        self.recipe = recipe.resolved(config, job.size, self.steps)
        self.names = (*COUNTERS[:2], *task.sums, *COUNTERS[2:])
        state, self.counters = resume(task, config, job, self.step, self.averages, self.recipe, self._say)
        self.counters = self.counters or dict.fromkeys(self.names, 0.0)
        self.epoch, self.done, self.best = state['epoch'], state['step'], state['best']
        self.damaged = state['damaged']
        self.searched = 0 if self.best else self.epoch      # the epochs before that have no best one
        self.monitor = Monitor(self.folder, task.figures, job.rank == 0, state['rows'], state['seconds'])

    def go(self):
        """Train until the end, or until a stop is asked for; returns the exit code."""
        self.told = told_by(self.task, self.job)
        self._describe()        # that of an earlier part of the run may not have been written any more
        over = self._is_over()
        if over:
            epochs = self.config.num_epochs
            self._say(f'{self.folder}: already trained for all of its {epochs} epochs' if self.epoch >= epochs else
                      f'{self.folder}: stopped early after epoch {self.epoch} of {epochs}; more --patience goes on')
            if not (self.folder / 'summary.json').exists():
                self._summarize()       # killed before it was written
            return 0
        self._try('config.yaml', lambda: replace_file(self.folder / 'config.yaml', recipe.to_yaml(self.recipe)))
        while not over:
            row = self._train_epoch()
            number = self.epoch + 1
            evaluating = number == self.config.num_epochs or number % self.config.eval_frequency == 0
            found = self._evaluate(number) if row and evaluating else {}
            if row is None or found is None:
                self.monitor.close()
                self._save()
                self._say(f'stopped {self.stop.why} after {self.done} steps of epoch {number}; --resume auto goes on')
                return self.stop.exit_code
            self.epoch, self.done, self.counters = number, 0, dict.fromkeys(self.names, 0.0)
            row.update(found)
            self.monitor.end(row)
            if evaluating:
                self.monitor.curves()
            over = self._is_over()
            if over or self.epoch % self.config.save_frequency == 0:
                self._save()
        self._summarize()
        return 0

    def show(self):
        """Evaluate the weights as they are and print their figures; returns the exit code."""
        row = self.validation(self.epoch)
        if row is None:
            return self.stop.exit_code
        shown = [figure.format(figure.key, row[figure.key]) for figure in self.task.figures.shown if figure.key in row]
        self._say('  '.join([*shown, f"of {row['seen']}", *left_out(row)]))
        return 0

    def _is_over(self):
        """Whether all epochs are trained, or as many evaluations as ``--patience`` has found none better; a collective
        of all ranks."""
        if self.epoch >= self.config.num_epochs or not self.config.patience:
            return self.epoch >= self.config.num_epochs
        since = self.best['epoch'] if self.best else self.searched
        waited = sum(row['epoch'] > since and self.task.figures.best in row for row in self.monitor.rows)
        return bool(self.job.total([self.job.rank == 0 and waited >= self.config.patience], 'patience')[0])

    def _summarize(self):
        best = self.best and {name: value for name, value in self.best.items() if name != 'sha256'}
        self.monitor.summary(best, self.epoch, self.config.num_epochs, model=self.config.model, ranks=self.job.size,
                             skipped_steps=self.step.skipped, config=self.recipe,
                             global_batch_size=self.recipe['derived']['global_batch_size'])

    def _train_epoch(self):
        """The rest of an epoch; returns its figures over all ranks, or None where a stop was asked for."""
        config, counters, epoch = self.config, self.counters, self.epoch
        steps = min(self.steps, self.total - epoch * self.steps)
        self.task.begin(self.step.net, epoch)
        self.monitor.begin(epoch, config.num_epochs, steps, self.done)
        source = self.epochs.ahead(epoch, self.done)
        sums = {name: mx.nd.array([counters[name]]) for name in self.task.sums}
        skipped, waited, trained = (counters[name] for name in ('skipped_records', 'waited', 'training'))
        shown, waited_then, start = self.done, 0.0, time.perf_counter()
        while self.done < steps:
            chunk, left = source.take()
            ending = self.done + 1 == steps
            saving = config.save_steps and (self.done + 1) % config.save_steps == 0
            asked = self.stop.made
            self.step.start(chunk, epoch, epoch * self.steps + self.done, asked)
            if not (ending or saving or asked):     # a record that ends the run comes after the checkpoint
                source.fetch()
            loss, counted, stopping = self.step.finish()
            if loss is not None:
                for name, value in counted.items():
                    sums[name] = sums[name] + value.as_in_context(sums[name].context)
                counters['loss'] += loss
                counters['seen'] += sum(len(indices) for indices, *_ in chunk)
                if self.averages:
                    self.averages.update()
            self.done += 1
            if self.done % config.log_interval == 0 or ending or saving or stopping:
                if ending:
                    mx.nd.waitall()     # its time is the epoch's
                counters.update({name: float(value.asscalar()) for name, value in sums.items()},
                                skipped_records=skipped + left, waited=waited + source.waited,
                                training=trained + time.perf_counter() - start)
                images = (self.done - shown) * self.recipe['derived']['global_batch_size']
                self.monitor.advance(self.done - shown, images, source.waited - waited_then,
                                     loss=f"{counters['loss'] / max(1, counters['seen']):.3f}")
                shown, waited_then = self.done, source.waited
            if stopping:
                return None
            if saving:
                self._save()
        total = dict(zip(self.names, self.job.total([counters[name] for name in self.names], 'training')))
        seen, seconds = max(1, total['seen']), total['training']
        return {'epoch': epoch + 1, 'loss': total['loss'] / seen,
                **plain(self.task.training_figures({name: total[name] for name in self.task.sums}, seen)),
                'lr': self.step.learning_rate(epoch * self.steps + steps - 1),
                'images_per_second': seen / seconds * self.job.size,
                'seconds': seconds / self.job.size, 'waiting': total['waited'] / seconds,
                **({'skipped': int(total['skipped_records'])} if total['skipped_records'] else {})}

    def _evaluate(self, epoch):
        """The figures after ``epoch`` (from 1), or None where a stop was asked for; the best weights are saved."""
        self.epochs.begin(epoch)        # the next one's workers start beside the evaluation
        row = self.validation(epoch)
        better = row and self.task.figures.better(row, self.best)
        path = self.folder / 'best.params'
        if better and self._try(path.name, lambda: checkpoint.save_parameters(path, self.task.twin)):
            self.best = {'epoch': epoch, **row, **({} if self.job.rank else {'sha256': file_digest(path)})}
            self._describe()
        return row

    def _describe(self):
        """Write what the task tells of its weights to best.json; the weights first, since their hash is in it."""
        path = self.folder / 'best.params'
        if not self.told or self.job.rank or not self.best:
            return
        figures = {name: value for name, value in self.best.items() if name != 'sha256'}
        told = {**self.told, 'figures': figures, 'versions': recipe.versions(), 'sha256': file_digest(path)}
        self._try('best.json', lambda: replace_file(path.with_suffix('.json'), json.dumps(
            told, indent=1, ensure_ascii=False) + '\n'))

    def _save(self):
        """Write a checkpoint and remove the old ones; a collective of all ranks."""
        arrays = collect(self.task.network, self.step, self.averages, self.counters, self.job)
        wrong = [name for name, values in arrays.items() if not np.isfinite(values).all()]
        if wrong:       # the next loss will tell; the checkpoint before is the one to go on from
            return self._say(f'warning: {self.folder}: checkpoint was not written: {wrong[0]} is not finite')
        state = {'epoch': self.epoch, 'step': self.done, 'best': self.best, 'rows': self.monitor.rows,
                 'seconds': self.monitor.seconds(), 'recipe': self.recipe, 'skipped_steps': self.step.skipped,
                 'loss_scale': self.step.scale and [self.step.scale.value, self.step.scale.good],
                 'counters': list(self.counters), 'versions': recipe.versions()}

        def write():
            start = time.perf_counter()
            path = checkpoint.save(self.folder, self.epoch, self.done, arrays, state)
            checkpoint.prune(path, self.config.keep, self.damaged)
            self.damaged = []       # one that could not be removed may be written over, and be whole
            self.stop.note_saving(time.perf_counter() - start)

        self._try('checkpoint', write)

    def _say(self, text):
        if self.job.rank == 0:
            print(text, flush=True)

    def _try(self, name, write):
        """Write on rank 0; training goes on without what does not fit on the disk. Whether all is well there."""
        if self.job.rank:
            return True
        try:
            write()
        except OSError as error:
            print(f'warning: {self.folder}: {name} was not written: {error.strerror or error}', flush=True)
            return False
        return True
