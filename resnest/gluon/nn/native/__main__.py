"""``python -m resnest.gluon.nn.native``: compile the native operators; a notice and exit code 1 where that fails."""
import sys

from resnest.errors import InputError, MissingPackage

from . import LIBRARIES, build, library

__all__ = ['main']


def main():
    for name in LIBRARIES:
        try:
            there = library(name).exists()
            print('native operators:' if there else 'native operators compiled:', build(name))
        except (InputError, MissingPackage, OSError) as error:
            sys.exit(f'notice: {error}; the networks run in pure Gluon')


if __name__ == '__main__':
    main()
