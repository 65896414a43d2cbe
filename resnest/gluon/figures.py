"""The pictures that commands draw: their formats, known before the work that they are drawn from, and their files."""
import contextlib
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.files import replacing, require_writable_folder
from resnest.reading import one_line
from resnest.runtime import import_extra

__all__ = ['FIGURE_FORMATS', 'figure_file', 'files_for', 'require_figure']

FIGURE_FORMATS = '.png', '.pdf', '.svg', '.jpg'


def require_figure(path, option, others=()):
    """Raise InputError where ``path``, the value of ``option``, ends in no format of matplotlib that we write.

    ``others`` are endings that the caller takes besides, which the message names too.

    Raises MissingPackage without matplotlib.
    """
    if Path(path).suffix.lower() not in FIGURE_FORMATS:
        raise InputError(f'{option} {path}: the ending must be one of {" ".join((*FIGURE_FORMATS, *others))}')
    import_extra('matplotlib')


def files_for(pictures, folder, option):
    """``{picture: the PNG that is made of it}`` in a folder, the value of ``option``.

    Raises InputError for two pictures whose files would have one name, for a file that is there, and for a folder that
    cannot be written to.
    """
    require_writable_folder(folder, option)
    found = {}
    for path in pictures:
        target = Path(folder, f'{path.stem}.png')
        if target in found.values():
            raise InputError(f'{one_line(path)}: what is made of it would be {one_line(target)}, as of another '
                             f'picture; give them other names, or one at a time')
        if os.path.lexists(target):
            raise InputError(f'{one_line(target)}: is there already; remove it, or choose another {option}')
        found[path] = target
    return found


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
