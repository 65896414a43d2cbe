"""From picture files to what is in them, by a network that is found or given by name."""
import sys
from pathlib import Path

from resnest.gluon.data import find_pictures
from resnest.gluon.device import choose_device
from resnest.gluon.figures import require_figure
from resnest.gluon.models.weights.choosing import DEFAULT_MODEL

from .prediction import Predictor, format_table

__all__ = ['classify_pictures']


def classify_pictures(images, model=None, weights=None, classes=None, top_k=5, figure=None, crop_size=None,
                      crop_ratio=None, batch_size=16, workers=2, no_cuda=False, say=None, progress=False,
                      model_options=None):
    """Name what is in pictures, and draw what the network looked at.

    Parameters
    ----------
    images : list of path
        Pictures of any format, or folders of them.
    model : str
        What the weights tell, else resnest50, unless given.
    weights : path
        A ``.params`` file; the published weights unless given.
    classes : path
        Where the classes' names are, if not in the weights' description: see :func:`.class_names`.
    top_k : int
        Classes to name.
    figure : path
        Where to draw, for the first 8 pictures, :meth:`.Predictor.draw`; nothing is drawn unless given.
    crop_size, crop_ratio
        The weights' or the model's own unless given.
    batch_size, workers : int
        Pictures at a time, and threads that decode them.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling: the table, and what was drawn.
    progress : bool
        Whether to show a bar on a terminal.
    model_options : dict
        Fields in which the network of bare weights differs from the model's row.

    Returns ``(results, problems)``: a dict ``{'file', 'top': [{'class', 'name', 'probability'}, …]}`` for each picture,
    and a line for each file that cannot be read. Raises InputError for what is not there or does not fit.
    """
    if figure:
        require_figure(figure, '--explain')
    paths = find_pictures(images, lambda note: print(note, file=sys.stderr))
    predictor = Predictor(Path(weights) if weights else model or DEFAULT_MODEL, classes=classes,
                          crop_size=crop_size, crop_ratio=crop_ratio, batch_size=batch_size, workers=workers,
                          ctx=choose_device(no_cuda), model=model if weights else None, options=model_options)

    from tqdm import tqdm
    problems = []
    with tqdm(total=len(paths), unit='picture', disable=not progress or not sys.stderr.isatty()) as bar:
        found = list(predictor.each(paths, top_k, problems.append, bar.update))
    if found and say:
        say(format_table(found))
    if figure and found:
        shown = predictor.draw([each.path for each in found], figure)
        if say:
            say(f'{figure}: what the network looked at in {shown} of {len(found)} pictures')
    results = [{'file': each.path, 'top': [{'class': guess.label, 'name': guess.name, 'probability': guess.probability}
                                           for guess in each.guesses]} for each in found]
    return results, list(map(str, problems))
