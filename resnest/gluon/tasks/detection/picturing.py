"""From picture files to what was found in them: a table, JSON, and pictures that show it."""
import sys
from collections import deque
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.files import replacing
from resnest.gluon.data import find_pictures, read_picture
from resnest.gluon.data.coco.run_lengths import compressed, counts_in
from resnest.gluon.device import choose_device
from resnest.gluon.figures import files_for

from .data.categories import categories_of
from .describing import know
from .drawing import draw, draw_segments, mosaic
from .finding import each_detections, network_inputs
from .geometry.sizes import long_side_for
from .making import get_model
from .optimizing import make_engine

__all__ = ['MOSAIC_FORMATS', 'detect_pictures']

MOSAIC_FORMATS = '.png', '.jpg', '.pdf'
MOST_DRAWN = 8          # pictures of a figure that is still one page
MOST_TOLD = 20          # objects of a picture on the terminal
CALIBRATED = 8          # pictures


def detect_pictures(images, model=None, weights=None, model_options=None, precision='float32', least_score=0.5,
                    figure=None, pictures=None, batch_size=1, no_cuda=False, say=None, progress=False, short_side=None):
    """Tell what is in pictures.

    Parameters
    ----------
    images : list of path
        Pictures of any format, or folders of them.
    model : str
        What the weights tell, else faster_rcnn_fpn_resnest50, unless given.
    weights : path
        A file of weights; the published ones unless given.
    model_options : dict
        Fields in which the network of bare weights differs from the model's row.
    precision : {'float32', 'bfloat16', 'int8'}
        Others than float32 are calibrated with, and compared on, the first 8 pictures.
    least_score : float
        Of the objects that are told and drawn.
    figure : path
        Where to draw the first 8 pictures side by side; ends in one of :data:`MOSAIC_FORMATS`.
    pictures : path
        Folder for a PNG of each picture with what is in it.
    batch_size : int
        Pictures at a time.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling.
    progress : bool
        Whether to show a bar on a terminal.
    short_side : int
        What pictures are resized to, in pixels, with the limit of their long side in the row's proportion; the row's
        own unless given.

    Returns ``(results, problems)``: a dict ``{'file', 'size': [width, height], 'objects': [{'class', 'category_id',
    'name', 'score', 'box': [x0, y0, x1, y1]}, …]}`` for each picture, the best object first, and a line for each file
    that cannot be read. With masks an object has a ``segmentation``, COCO's run lengths; a panoptic network adds
    ``segments``. Raises InputError for what is not there or does not fit, and for weights that are not finite.
    """
    if figure and Path(figure).suffix.lower() not in MOSAIC_FORMATS:
        raise InputError(f'--figure {figure}: the ending must be one of {" ".join(MOSAIC_FORMATS)}')
    paths = find_pictures(images, lambda note: print(note, file=sys.stderr))
    targets = files_for(paths, pictures, '--pictures') if pictures else {}
    known = know(model, weights, model_options)
    device = choose_device(no_cuda)
    net = get_model(known.model, known.pretrained, ctx=device, **known.options)
    categories = categories_of(net)
    sides = (short_side, long_side_for(short_side, net.spec)) if short_side else ()
    net = make_engine(net, precision, device, lambda: network_inputs(net, paths, CALIBRATED, *sides), say)
    results, drawn = [], []
    for path, pixels, found in _each(net, paths, batch_size, sides, progress, problems := []):
        found = found.above(least_score)
        results.append(_told(path, found, categories))
        if path in targets or figure and len(drawn) < MOST_DRAWN:
            image = _drawn(pixels, found, categories)
            if path in targets:
                _save(image, targets[path])
            drawn += [image] if figure and len(drawn) < MOST_DRAWN else []
    if say and results:
        say('\n'.join(map(_lines, results)))
    if drawn:
        _save(mosaic(drawn), figure)
        if say:
            say(f'{figure}: what is in {len(drawn)} of {len(results)} pictures')
    return results, problems


def _each(net, paths, batch_size, sides, progress, problems):
    """Yield ``(path, pixels, detections)``; of a file that cannot be read a line is added to ``problems``."""
    from tqdm import tqdm
    waiting = deque()
    with tqdm(total=len(paths), unit='picture', disable=not progress or not sys.stderr.isatty()) as bar:
        def readable():
            for path in paths:
                try:
                    pixels = read_picture(path, lambda picture, rng: np.asarray(picture.whole()))
                except InputError as error:
                    problems.append(str(error))
                    bar.update()
                    continue
                waiting.append((path, pixels))
                yield pixels

        for found in each_detections(net, readable(), batch_size, *sides):
            yield *waiting.popleft(), found
            bar.update()


def _told(path, found, categories):
    """The JSON of a picture."""
    objects = [{'class': int(kind), 'category_id': categories.ids[kind], 'name': categories.names[kind],
                'score': round(float(score), 6), 'box': [round(float(value), 3) for value in box]}
               for kind, score, box in zip(found.classes, found.scores, found.boxes)]
    if found.probabilities is not None:
        for row, each in enumerate(objects):
            each['segmentation'] = {'size': list(found.size), 'counts': compressed(counts_in(found.mask(row)))}
    return {'file': str(path), 'size': [*found.size[::-1]], 'objects': objects,
            **({'segments': found.panoptic[1]} if found.panoptic else {})}


def _drawn(pixels, found, categories):
    if found.panoptic:
        names = dict(zip(categories.ids + categories.stuff_ids, categories.names + categories.stuff))
        return draw_segments(pixels, *found.panoptic, names)
    return draw(pixels, found, categories.names)


def _save(image, path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {'.jpg': 'JPEG'}.get(path.suffix.lower(), path.suffix[1:].upper())
    with replacing(path) as part:
        image.save(part, format=kind)


def _lines(result):
    shown = result['objects'][:MOST_TOLD]
    lines = [result['file'] + ('' if shown or result.get('segments') else ': nothing found')]
    for each in shown:
        x0, y0, x1, y1 = each['box']
        lines.append(f"  {100 * each['score']:5.1f} %  {each['name']:20}  {x0:.0f}, {y0:.0f} to {x1:.0f}, {y1:.0f}")
    more = len(result['objects']) - len(shown)
    lines += [f'  and {more} more objects'] if more else []
    if result.get('segments'):
        lines.append(f"  {len(result['segments'])} segments")
    return '\n'.join(lines)
