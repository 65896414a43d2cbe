"""``python -m resnest.gluon.nn.native``: compile the native operators; a notice, and no error, where that fails."""
from resnest.errors import InputError, MissingPackage

from . import build, library

if __name__ == '__main__':
    there = library().exists()
    try:
        print('native operators:', build() if there else f'compiled into {build()}')
    except (InputError, MissingPackage, OSError) as error:
        print(f'notice: {error}; the networks run in pure Gluon')
