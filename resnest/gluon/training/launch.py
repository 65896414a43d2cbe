"""From a command line to the ranks of a job."""
import os

from resnest.arguments import Parser
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

    The recipe's environment variables are set first. Where another rank dies, InputError names it and what to do.
    """
    os.environ.update(recipe.environment(config))
    with distributed.joined('--resume auto goes on from the newest checkpoint') as job:
        return work(job)
