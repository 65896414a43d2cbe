"""From picture files to what is where in them: shares of the classes, maps, and a figure."""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from resnest.errors import InputError
from resnest.files import replacing
from resnest.gluon.data import find_pictures, read_picture
from resnest.gluon.device import choose_device
from resnest.gluon.figures import files_for, require_figure

from .data import Legend, known_legend, numbered_legend
from .drawing import draw_pictures
from .scores.evaluation import labelled
from .scores.scoring import MultiScale, SingleScale
from .sources import make_engine, open_source

__all__ = ['legend_of', 'segment_pictures', 'write_map']

MOST_DRAWN = 8          # rows of a figure that is still one page
MOST_TOLD = 10          # classes of a picture on the terminal


def segment_pictures(images, model=None, weights=None, model_options=None, figure=None, maps=None, multi_scale=False,
                     no_cuda=False, say=None, progress=False):
    """Tell what is where in pictures.

    Parameters
    ----------
    images : list of path
        Pictures of any format, or folders of them.
    model, weights, model_options
        As :func:`.verification.verify` has them.
    figure : path
        Where to draw, for the first 8 pictures, each beside its classes in colours; nothing is drawn unless given.
    maps : path
        Folder for a map of each picture, a PNG of the labels with the classes' colours as its palette; none unless
        given.
    multi_scale : bool
        Whether to score several scales and mirror images (:class:`.scores.scoring.MultiScale`).
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling.
    progress : bool
        Whether to show a bar on a terminal.

    Returns ``(results, problems)``: a dict ``{'file', 'size': [width, height], 'classes': [{'class', 'name', 'share'},
    …]}`` for each picture, the largest share first, and a line for each file that cannot be read. Raises InputError
    for what is not there or does not fit, and for outputs that are not finite.
    """
    if figure:
        require_figure(figure, '--figure')
    paths = find_pictures(images, lambda note: print(note, file=sys.stderr))
    targets = files_for(paths, maps, '--maps') if maps else {}
    known, exported = open_source(model, weights, model_options)
    legend = legend_of(known)
    names, colours = legend.names, legend.colours
    device = choose_device(no_cuda or exported is not None)
    engine = make_engine(known, exported, 'float32', device)
    score = (MultiScale if multi_scale else SingleScale)(engine, known.spec, device)
    results, problems, drawn = [], [], []
    from tqdm import tqdm
    for path in tqdm(paths, unit='picture', disable=not progress or not sys.stderr.isatty()):
        try:
            pixels = read_picture(path, lambda picture, rng: np.asarray(picture.whole()))
        except InputError as error:
            problems.append(str(error))
            continue
        (labels,), (finite,) = labelled(score(pixels[None]), *pixels.shape[:2])
        if not finite:
            raise InputError(f"{known.what}: the network's output is not finite; these weights are of no use")
        results.append({'file': str(path), 'size': list(pixels.shape[1::-1]), 'classes': _shares(labels, names)})
        if maps:
            write_map(targets[path], labels, colours)
        if figure and len(drawn) < MOST_DRAWN:
            drawn.append((path.name, pixels, labels))
    if say and results:
        say('\n'.join(map(_lines, results)))
    if drawn:
        draw_pictures(drawn, names, colours, figure)
        if say:
            say(f'{figure}: what is where in {len(drawn)} of {len(results)} pictures')
    return results, problems


def legend_of(known):
    """The :class:`.Legend` of weights: as they are described, that of the published data set, or numbers."""
    classes, described = known.spec.classes, known.description
    if described and described.names:
        colours = described.own.get('palette')
        return Legend(described.names, colours=colours and np.array(colours))
    published = known_legend(known.spec.data_set) if known.spec.data_set else ()
    return published if len(published) == classes else numbered_legend(classes)


def write_map(path, labels, colours):
    """Write labels ``(H, W)`` as a PNG: up to 256 classes in 8 bits with a palette, more in 16 bits of grey."""
    if len(colours) > 256:
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = Image.fromarray(labels.astype(np.uint8), mode='P')
        image.putpalette(colours.tobytes())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        image.save(part, format='PNG')


def _shares(labels, names):
    counts = np.bincount(labels.ravel(), minlength=len(names))
    return [{'class': int(label), 'name': names[label], 'share': float(counts[label] / labels.size)}
            for label in np.argsort(-counts, kind='stable') if counts[label]]


def _lines(result):
    shown = result['classes'][:MOST_TOLD]
    more = len(result['classes']) - len(shown)
    lines = [result['file'], *(f"  {100 * each['share']:6.2f} %  {each['name']}" for each in shown)]
    return '\n'.join(lines + ([f'  and {more} more classes'] if more else []))
