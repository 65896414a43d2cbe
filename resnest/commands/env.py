"""Versions, threads, devices, Horovod, and what is missing."""
import sys


def main(arguments=None):
    if arguments or sys.argv[1:]:       # not always: it works where every package is missing
        from resnest.arguments import Parser
        Parser(description=__doc__).parse_args(arguments)

    from resnest.environment import describe

    print(describe())
