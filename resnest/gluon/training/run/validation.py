"""The figures of the weights as they are, over all ranks."""
import contextlib

import numpy as np

from resnest.errors import SharedError
from resnest.gluon.mxnet_private import structural_parameters

from .interrupt import Stopped

__all__ = ['Validation', 'plain']


class Validation:
    """Evaluates a task's twin with the weights of its network, or with their moving ``averages`` where there are any.

    ``stop`` is the :class:`.interrupt.StopRequest` of the run.
    """

    def __init__(self, task, averages, job, stop):
        self._task, self._averages, self._job, self._stop = task, averages, job, stop
        self._net = task.assemble(task.twin)
        self._net.hybridize(static_alloc=True)

    def __call__(self, epoch):
        """The task's figures after ``epoch``, a dict, ``seen``, and ``val_skipped`` where samples were left out; None
        where a stop was asked for.

        A collective of all ranks; raises InputError where outputs are not finite.
        """
        task, stop = self._task, self._stop
        values = self._averages.arrays() if self._averages else \
            {name: param.data() for name, param in structural_parameters(task.network).items()}
        for name, param in structural_parameters(task.twin).items():
            param.set_data(values[name].astype(param.dtype, copy=False))
        self._job.average_statistics(task.twin)
        found = None
        with contextlib.suppress(Stopped):
            task.renew(self._net, epoch, self._check)
            with self._net.register_forward_pre_hook(lambda *_: stop.check()):
                found = task.evaluate(self._net)
        if self._job.total([found is None or stop.made], 'stop')[0]:
            return None
        counts = self._job.totals(found, 'validation')
        if counts['nonfinite']:
            raise SharedError(f"the network's output after epoch {epoch} is not finite for "
                              f"{counts['nonfinite']:.0f} of {counts['seen']:.0f} validation images; lower --lr or "
                              f'raise --warmup-epochs')
        skipped = int(counts.pop('skipped', 0))
        return {**plain(task.validation_figures(counts)), 'seen': int(counts['seen']),
                **({'val_skipped': skipped} if skipped else {})}

    def _check(self):
        """Raise Stopped on all ranks where one of them was asked to stop. A collective."""
        if self._job.total([self._stop.made], 'stop')[0]:
            raise Stopped


def plain(figures):
    """Numbers of NumPy as Python's, which JSON takes."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in figures.items()}
