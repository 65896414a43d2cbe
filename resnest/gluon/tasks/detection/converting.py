"""Converts weights of detectors: from Detectron2's and gluoncv's files to Gluon's, and back to Detectron2's names."""
import dataclasses
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.models.weights.conversion import described as description_in
from resnest.gluon.models.weights.conversion import format_of
from resnest.gluon.models.weights.parameters import read_weights
from resnest.reading import one_line

from .categories import categories_of
from .describing import counted, described, know_described
from .making import make
from .weights.loading import to_ours
from .weights.writing import FORMATS, write_file

__all__ = ['convert']


def convert(source, target, model=None, to=None, options=None):
    """Convert a file of a detector's weights; returns ``(number of arrays, classes)``.

    Parameters
    ----------
    source : str or Path
        Detectron2's ``.pth``, ``.pkl`` or ``.safetensors``, or a ``.params`` file of ours or of gluoncv, told apart by
        their content.
    target : str or Path
        File to write; complete or not there at all.
    model : str
        The row of the table; what the source tells unless given.
    to : {'params', 'safetensors', 'pkl'}
        Format of the target: Gluon's, or one with Detectron2's names; by its ending unless given.
    options : dict
        Fields in which the network differs from the model's row, which described weights tell themselves.

    Raises InputError for a file that cannot be read, with a list of what is missing, left over or of another shape, and
    where neither ``model`` nor the source tells the network; the number of classes may be any. Nothing is written then.
    """
    source, target = (Path(os.path.expanduser(path)) for path in (source, target))
    to = format_of(target, to, FORMATS)
    description, arrays = description_in(source), read_weights(source)
    if description:
        known = know_described(source, description, model, options)
        model, values = known.model, known.options
    elif model is None:
        raise InputError(f'{one_line(source)}: does not tell which network it is of; give --model')
    else:
        values = {**counted(model, arrays, source), **(options or {})}
    net = make(model, values)
    net.description = description
    ours = to_ours(arrays, net, source)
    made = described(net, categories_of(net))
    if description:
        made = dataclasses.replace(description, options=made.options, sha256=None)
    write_file(target, ours, net, made, to)
    return len(ours), made.classes
