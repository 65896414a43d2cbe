"""From picture files to what is in them, by a network that is found or given by name."""
import sys

from resnest.gluon.data import find_pictures, with_normalization
from resnest.gluon.device import choose_device
from resnest.gluon.figures import require_figure

from .explanations.drawing import explain_pictures
from .names import class_names
from .prediction import classify, format_table
from .settling import settle

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
        Where to draw, for the first 8 pictures, :func:`.explain_pictures`; nothing is drawn unless given.
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

    Returns ``(results, problems)`` as :func:`.classify`. Raises InputError for what is not there or does not fit.
    """
    if figure:
        require_figure(figure, '--explain')
    paths = find_pictures(images, lambda note: print(note, file=sys.stderr))
    known = settle(model, weights, model_options)
    crop = known.crop(crop_size, crop_ratio)
    names = class_names(known.classes, classes, known.description)
    device = choose_device(no_cuda)
    network = known.network(device)
    net = with_normalization(network)
    net.hybridize(static_alloc=True)

    from tqdm import tqdm
    with tqdm(total=len(paths), unit='picture', disable=not progress or not sys.stderr.isatty()) as bar:
        results, problems = classify(net, paths, crop, names, device, top_k, batch_size, workers, bar.update)
    if results and say:
        say(format_table(results))
    if figure and results:
        shown = explain_pictures(net, [result['file'] for result in results], crop, names, device, figure)
        if say:
            say(f'{figure}: what the network looked at in {shown} of {len(results)} pictures')
    return results, problems
