"""Versions, threads, devices, Horovod, and what is missing."""
import argparse


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)     # works where every package is missing

    from resnest.environment import describe

    print(describe())
