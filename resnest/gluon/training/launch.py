"""From a command line to the ranks of a job, and to what they train."""
import contextlib
import os
import shlex
import signal
import threading
from pathlib import Path

import mxnet as mx

from resnest.arguments import Parser
from resnest.errors import StartAgain
from resnest.gluon import distributed

from . import recipe
from .options import add_options, from_options
from .run.beginning import load_first
from .run.engine import fit

__all__ = ['in_job', 'parse', 'train_task']


def parse(kind, description, arguments=None):
    """``(recipe, whether to print it only)`` from a command line; ``kind`` is the recipe's class.

    Raises InputError for a recipe that cannot be, and for options that there are not.
    """
    parser = Parser(description=description)
    add_options(parser, kind)
    options = parser.parse_args(arguments)
    return from_options(options, kind), options.print_config


def in_job(config, work):
    """What ``work(job)`` returns on this rank of the job that a launcher started, or alone.

    The recipe's environment variables are set first. Raises StartAgain where another rank dies, naming it and what to
    do, and where a scheduler's signal comes outside of the training, which heeds it by itself.
    """
    os.environ.update(recipe.environment(config))
    with _signals_that_end(), distributed.joined('--resume auto goes on from the newest checkpoint') as job:
        return work(job)


def train_task(task, config, job, device, counts, load, command):
    """Train the networks of a task from the seed, or from what ``load(source)`` puts into the first of them.

    ``counts`` is ``{what: number}`` of what must be alike on all ranks, and ``load`` is as :func:`.load_first` has it.
    Where the run has made its best weights, the first rank tells that ``resnest command`` uses them. Returns the exit
    code of :func:`.fit`, and raises as it does.
    """
    for what, count in counts.items():
        job.agree(f'number of {what}', count)
    mx.random.seed(config.seed)
    task.twin.collect_params().setattr('grad_req', 'null')      # it is only evaluated: no memory for gradients
    for network in (task.network, task.twin):
        network.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=device)
    load_first(config, job, load)
    code = fit(task, config, job, device)
    best = Path(config.save_dir, 'best.params')
    if code == 0 and job.rank == 0 and not config.eval_only and best.exists():
        print(f'to use it: resnest {command} --resume {shlex.quote(str(best))} IMAGE', flush=True)
    return code


@contextlib.contextmanager
def _signals_that_end():
    """While nothing is to be saved SIGTERM and SIGUSR1 end the process with the exit code of a run that was stopped."""
    def end(number, _):
        raise StartAgain(f'{signal.Signals(number).name} came before the training began, or after its end; the same '
                         f'command goes on')

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGUSR1)
                  if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
