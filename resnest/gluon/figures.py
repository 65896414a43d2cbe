"""The pictures that commands draw: their formats, known before the work that they are drawn from, and their files."""
import contextlib
from pathlib import Path

from resnest.errors import InputError
from resnest.files import replacing
from resnest.runtime import import_extra

__all__ = ['FIGURE_FORMATS', 'figure_file', 'require_figure']

FIGURE_FORMATS = '.png', '.pdf', '.svg', '.jpg'


def require_figure(path, option, others=()):
    """Raise InputError where ``path``, the value of ``option``, ends in no format of matplotlib that we write.

    ``others`` are endings that the caller takes besides, which the message names too.

    Raises MissingPackage without matplotlib.
    """
    if Path(path).suffix.lower() not in FIGURE_FORMATS:
        raise InputError(f'{option} {path}: the ending must be one of {" ".join((*FIGURE_FORMATS, *others))}')
    import_extra('matplotlib')


@contextlib.contextmanager
def figure_file(path, rows=1, columns=1, dpi=110, **options):
    """``(figure, axes)`` of ``pyplot.subplots`` to draw on, written to ``path`` at the end; after an error nothing is.

    The ending of the path is the format, PNG where it has none. Raises MissingPackage without matplotlib.
    """
    import_extra('matplotlib').use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(rows, columns, layout='constrained', **options)
    try:
        yield figure, axes
        with replacing(path) as part:
            figure.savefig(part, format=Path(path).suffix[1:].lower() or 'png', dpi=dpi)
    finally:
        pyplot.close(figure)
