"""The formats of the pictures that commands draw, known before the work that they are drawn from."""
from pathlib import Path

from resnest.errors import InputError
from resnest.runtime import import_extra

__all__ = ['FIGURE_FORMATS', 'require_figure']

FIGURE_FORMATS = '.png', '.pdf', '.svg', '.jpg'


def require_figure(path, option):
    """Raise InputError where ``path``, the value of ``option``, ends in no format of matplotlib that we write.

    Raises MissingPackage without matplotlib.
    """
    if Path(path).suffix.lower() not in FIGURE_FORMATS:
        raise InputError(f'{option} {path}: the ending must be one of {" ".join(FIGURE_FORMATS)}')
    import_extra('matplotlib', 'demo')
