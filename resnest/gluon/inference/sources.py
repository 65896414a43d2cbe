"""What a command is given as weights: a file of them, none, or an exported file that has them and its network in it."""
import os

from resnest.errors import InputError
from resnest.reading import one_line

from .engines import exported_engine, onnx_engine
from .export.onnx_files import OnnxNet
from .optimized.exported import is_exported
from .optimized.network import load

__all__ = ['engine_of_exported', 'open_source']


def open_source(table, know, know_described, model=None, weights=None, options=None, of_pictures=()):
    """``(known, exported)`` of what is asked for: the :class:`.known.Known`, and the network of an exported file.

    Parameters
    ----------
    table : resnest.gluon.models.weights.known.TaskTable
        Of the task, whose networks make maps.
    know, know_described : callable
        The task's: ``know(model, weights, options)`` and ``know_described(weights, description, model, options)``.
    model : str
    weights : str
        A ``.params`` file, or None for the published ones, and ``exported`` is None then; or an exported ``.onnx``
        file, or the prefix of an exported optimized network.
    options : dict
    of_pictures : sequence of str
        Those of them that an exported file takes, too.

    Raises InputError as these two, and for an exported file of another network.
    """
    text = os.path.expanduser(weights) if weights else ''
    if text.lower().endswith('.onnx'):
        exported = OnnxNet(text)
        if not exported.maps:
            raise InputError(f'{one_line(text)}: gives a class for each image, not for each pixel; give the file of a '
                             f'{table.task} network')
    elif is_exported(text):
        exported = load(text)
    else:
        return know(model, weights, options), None
    if other := next((name for name in options or () if name not in of_pictures), None):
        raise InputError(f'{one_line(text)}: an exported file tells by itself what network it is of; leave out {other}')
    if exported.description is None:
        raise InputError(f'{one_line(text)}: does not tell what the network is of; export it again')
    known = know_described(text, exported.description, model, options)
    outputs = getattr(known.spec, table.counted)
    if getattr(exported, 'classes', outputs) != outputs:
        raise InputError(f'{known.what} give {exported.classes} maps, and are said to know {outputs} {table.counted}; '
                         'export them again')
    return known, exported


def engine_of_exported(known, exported, precision):
    """A function from uint8 ``(N, H, W, 3)`` to maps, of what :func:`open_source` returns, if it is exported."""
    if precision != 'float32':
        raise InputError(f'{known.what} are exported, and so in the precision that they have; leave out --precision')
    return (onnx_engine if isinstance(exported, OnnxNet) else exported_engine)(exported, known.spec)
