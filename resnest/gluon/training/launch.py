"""From a command line to the ranks of a job."""
import contextlib
import os
import signal
import threading

from resnest.arguments import Parser
from resnest.errors import StartAgain
from resnest.gluon import distributed

from . import recipe
from .options import add_options, from_options

__all__ = ['in_job', 'parse']


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
