"""The joints of people in pictures: told, and drawn."""
import os
import sys
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.files import replacing
from resnest.gluon.data import find_pictures, read_picture
from resnest.gluon.device import choose_device
from resnest.gluon.figures import files_for
from resnest.reading import one_line, parse_json, read_text

from .data import Plain
from .describing import joints_of
from .drawing import draw
from .estimation import estimate
from .placing import moved
from .scores.similarity import person_scores
from .sources import make_engine, open_source

__all__ = ['pose_pictures']

MOST_TEXT = 1 << 28     # bytes of a file of boxes


def pose_pictures(images, model=None, weights=None, model_options=None, boxes=None, least_score=0.5, names=None,
                  flip=True, pictures=None, no_cuda=False, say=None):
    """Tell where the joints of people in pictures are.

    Parameters
    ----------
    images : list of path
        Pictures of any format, or folders of them.
    model, weights, model_options
        As :func:`.verification.verify` has them.
    boxes : path
        JSON as ``resnest detect --json`` writes it: objects with a ``box`` and a ``score`` by picture; without it a
        picture is one person.
    least_score : float
        Of the boxes that are looked at.
    names : sequence of str
        Of the objects that are looked at, as ``boxes`` tells them; all unless given.
    flip : bool
        Whether to look at mirror images, too.
    pictures : path
        Folder for a PNG of each picture with the skeletons.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling.

    Returns ``(results, problems)``: a dict ``{'file', 'size': [width, height], 'people': [{'score', 'box': [x0, y0, x1,
    y1], 'keypoints': [{'name', 'x', 'y', 'score'}, …]}, …]}`` for each picture, and a line for each file that cannot be
    read, or that the boxes are not of. Raises InputError for what is not there or does not fit, and for outputs that
    are not finite.
    """
    paths = find_pictures(images, lambda note: print(note, file=sys.stderr))
    targets = files_for(paths, pictures, '--pictures') if pictures else {}
    told = read_boxes(boxes, least_score, names) if boxes else None
    known, exported = open_source(model, weights, model_options)
    device = choose_device(no_cuda or exported is not None)
    engine, crop = make_engine(known, exported, 'float32', device), Plain(known.spec)
    joints = joints_of(known.spec, known.description)
    results, problems = [], []
    for path in paths:
        try:
            pixels = read_picture(path, lambda picture, rng: np.asarray(picture.whole()))
            found = _boxes_in(told, path, pixels.shape[1::-1], boxes)
        except InputError as error:
            problems.append(str(error))
            continue
        height, width = pixels.shape[:2]
        people, drawn = [], []
        for score, (x0, y0, x1, y1) in found:
            cut, placed = crop(pixels, [x0, y0, x1 - x0, y1 - y0])
            points, sure = estimate(engine, cut[None], device, joints.pairs if flip else None)
            if not np.isfinite(sure).all():
                raise InputError(f"{known.what}: the network's output is not finite; these weights are of no use")
            points = moved(placed, points[0])
            drawn.append((points, sure[0]))
            people.append({'score': round(float(person_scores(sure, score)[0]), 6), 'box': [x0, y0, x1, y1],
                           'keypoints': [{'name': name, 'x': round(float(x), 2), 'y': round(float(y), 2),
                                          'score': round(float(value), 4)}
                                         for name, (x, y), value in zip(joints.names, points, sure[0])]})
        results.append({'file': str(path), 'size': [width, height], 'people': people})
        if path in targets:
            Path(targets[path]).parent.mkdir(parents=True, exist_ok=True)
            with replacing(targets[path]) as part:
                draw(pixels, drawn, joints).save(part, format='PNG')
        if say:
            say(_lines(results[-1]))
    return results, problems


def read_boxes(path, least_score=0.0, names=None):
    """``{path: (size, [(score, [x0, y0, x1, y1]), …])}`` of a JSON file as ``resnest detect --json`` writes it.

    Paths are absolute, and a size is width and height of the picture, None where the file does not tell it.

    Boxes of lower scores than ``least_score`` are left out, and those of objects of other ``names``. Raises InputError
    that names the file for anything else.
    """
    value = parse_json(read_text(path, MOST_TEXT), path)
    try:
        found = {os.path.abspath(os.path.expanduser(picture['file'])): (picture.get('size'), [
            (float(each.get('score', 1)), [float(side) for side in each['box']], each.get('name'))
            for each in picture['objects']]) for picture in value['pictures']}
        for _, (x0, y0, x1, y1), _ in (each for _, some in found.values() for each in some):
            if not (np.isfinite([x0, y0, x1, y1]).all() and x0 < x1 and y0 < y1):
                raise ValueError
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        raise InputError(f'{one_line(path)}: no boxes of pictures; give a file that resnest detect --json has '
                         f'written') from None
    return {file: (size, [(score, box) for score, box, name in some
                          if score >= least_score and (not names or name in names)])
            for file, (size, some) in found.items()}


def _boxes_in(told, path, size, source):
    """The boxes of a picture of that width and height; where nothing is ``told``, it is one person. Raises InputError
    for boxes that cannot be of this picture."""
    if told is None:
        return [(1.0, [0, 0, *size])]
    told_size, found = told.get(os.path.abspath(path), (None, None))
    if found is None:
        raise InputError(f'{one_line(path)}: {one_line(source)} tells nothing of this picture; let resnest detect look '
                         f'at it, too')
    outside = [box for _, box in found if box[0] >= size[0] or box[1] >= size[1] or box[2] <= 0 or box[3] <= 0]
    if outside or told_size not in (None, list(size)):
        raise InputError(f'{one_line(path)}: of {" x ".join(map(str, size))} pixels, but {one_line(source)} tells ' + (
            f'of a box {outside[0]} outside of it' if outside else f'that it has {one_line(told_size, 60)}') +
            '; give what resnest detect has written of this picture')
    return found


def _lines(result):
    lines = [result['file'] + ('' if result['people'] else ': nobody')]
    for person in result['people']:
        points = '  '.join(f"{each['name']} {each['x']:.0f}, {each['y']:.0f}" for each in person['keypoints'])
        lines.append(f"  {100 * person['score']:5.1f} %  {points}")
    return '\n'.join(lines)
