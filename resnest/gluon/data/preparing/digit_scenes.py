"""Scenes of scanned digits: real strokes in random place, size and overlap on a textured ground, with every annotation.

The digits are scikit-learn's, 8 × 8 scans of handwriting (Alpaydin and Kaynak, 1998). One seed decides all of it. The
scenes of ``val`` are made of digits that no scene of ``train`` has.

``target`` gets, in COCO's layout (https://cocodataset.org/#format-data):

- ``train/000000.png …`` and ``val/…``: pictures, RGB,
- ``annotations/instances_{split}.json``: categories 1 to 10 (the digits 0 to 9), boxes ``[x, y, width, height]``,
  and the visible part of each digit as a mask (run lengths, column by column),
- ``annotations/person_keypoints_{split}.json``: the same with four keypoints a digit, the top, right, bottom and left
  ends of its strokes (2: visible, 1: under another digit), in one category with its ``sigmas``,
- ``maps/{split}/000000.png``: 0 for the ground, 1 to 10 for the digits,
- ``classes.txt``: what these are called, one a line,
- ``digits/{split}/{0 … 9}/000000-0.png``: each digit as it is seen, with its surroundings: folders of classes,
  from which a backbone learns.
"""
import json
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from resnest.files import replace_file
from resnest.gluon.streams import SCENES, generator

__all__ = ['CLASSES', 'KEYPOINTS', 'Scene', 'draw_scene', 'run_lengths', 'write_scenes']

CLASSES = [str(digit) for digit in range(10)]
KEYPOINTS = ['top', 'right', 'bottom', 'left']
# How far off an end may well be told, as COCO's sigmas have it of its annotators (cocodataset.org/#keypoints-eval):
# all pixels of the outermost row or column are as far out as its middle, which is annotated. The root of the mean of
# their squared distance from it over the digit's area, measured on the digits of 400 scenes.
SIGMAS = [0.070, 0.077, 0.070, 0.091]
SIDES = (256, 336)          # px of a scene's height and width, both included
DIGITS = (2, 5)             # in a scene, both included; fewer where there is no room
SIZES = (104, 152)          # px of a digit's longer side
INKS = (200, 255)           # red, green and blue of a digit, lighter than the ground
EDGE = 0.3                  # darkness of a scan, from 0 to 1, that is half ink: strokes are bold
TURN = 10                   # degrees, to either side
MARGIN = 1.15               # side of a digit's own picture, relative to the longer one of its box
LEAST_VISIBLE = 0.8         # of each digit's strokes
SPLITS = ('train', 'val')


class Scene:
    """One picture: ``image``, uint8 ``(H, W, 3)``; ``instances``, int32 ``(H, W)``, 0 for the ground, 1 where the first
    digit is seen, 2 for the second; ``labels``, the digits; ``keypoints``, int ``(digits, 4, 3)``: x, y, and COCO's
    visibility."""

    def __init__(self, height, width, ground):
        self.image = ground
        self.instances = np.zeros((height, width), np.int32)
        self.labels, self._shapes, self._places = [], [], []

    def add(self, label, ink, top, left, colour):
        """Draw a digit, ``ink`` from 0 to 1 ``(h, w)``, unless too little of it or of another one would be seen."""
        height, width = ink.shape
        here = np.s_[top:top + height, left:left + width]
        shape = ink > 0.5
        seen = np.where(shape, len(self.labels) + 1, self.instances[here])
        after = self.instances.copy()
        after[here] = seen
        whole = [each.sum() for each in (*self._shapes, shape)]
        visible = np.bincount(after.ravel(), minlength=len(whole) + 1)[1:]
        if (visible < LEAST_VISIBLE * np.array(whole)).any():
            return False
        self.instances = after
        self.image[here] += ink[..., None] * (colour - self.image[here])
        self.labels.append(label)
        self._shapes.append(shape)
        self._places.append((top, left))
        return True

    def mask(self, number):
        """The visible part of a digit, bool ``(H, W)``."""
        return self.instances == number + 1

    def box(self, number):
        """``[x, y, width, height]`` of the visible part of a digit."""
        rows, columns = (np.flatnonzero(self.mask(number).any(axis=axis)) for axis in (1, 0))
        return [int(value) for value in (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)]

    def surroundings(self, number):
        """The square picture around a digit, uint8 ``(side, side, 3)``, which ends at the edges of the scene."""
        *corner, width, height = self.box(number)
        room = self.image.shape[1::-1]
        side = min(int(MARGIN * max(width, height)), *room)
        left, top = (min(max(0, start + (length - side) // 2), most - side)
                     for start, length, most in zip(corner, (width, height), room))
        return self.image[top:top + side, left:left + side]

    @property
    def classes(self):
        """The segmentation map, uint8 ``(H, W)``: 0 for the ground, 1 to 10 for the digits."""
        return np.array([0, *(label + 1 for label in self.labels)], np.uint8)[self.instances]

    @property
    def keypoints(self):
        found = np.zeros((len(self.labels), len(KEYPOINTS), 3), np.int64)
        for number, (shape, (top, left)) in enumerate(zip(self._shapes, self._places)):
            for place, (x, y) in enumerate(ends(shape)):
                x, y = x + left, y + top
                found[number, place] = x, y, 2 if self.instances[y, x] == number + 1 else 1
        return found


def ends(shape):
    """``(x, y)`` of the top, right, bottom and left end of a bool ``(h, w)``: the middle pixel of its outermost row or
    column."""
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))

    def middle(line):
        found = np.flatnonzero(line)
        return int(found[len(found) // 2])

    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    return [(middle(shape[top]), int(top)), (int(right), middle(shape[:, right])),
            (middle(shape[bottom]), int(bottom)), (int(left), middle(shape[:, left]))]


def draw_scene(digits, labels, rng):
    """A :class:`Scene` of some of the digits ``(N, 8, 8)``, values 0 to 16, with their ``labels`` ``(N,)``."""
    height, width = rng.integers(SIDES[0], SIDES[1] + 1, 2).tolist()
    scene = Scene(height, width, _ground(height, width, rng))
    wanted = int(rng.integers(DIGITS[0], DIGITS[1] + 1))
    for _ in range(4 * wanted):
        number, size = int(rng.integers(len(digits))), int(rng.integers(SIZES[0], SIZES[1] + 1))
        ink = _ink(digits[number], size, rng.uniform(-TURN, TURN))
        top, left = (int(rng.integers(room - side + 1)) for room, side in zip((height, width), ink.shape))
        if scene.add(int(labels[number]), ink, top, left, rng.uniform(*INKS, 3)) and len(scene.labels) == wanted:
            break
    scene.image = scene.image.clip(0, 255).round().astype(np.uint8)
    return scene


def _ground(height, width, rng):
    """Coloured noise of three sizes, float ``(height, width, 3)``, from 0 to 255."""
    ground = np.empty((height, width, 3))
    ground[:] = rng.uniform(20, 70, 3)
    for cell, strength in ((96, 25), (24, 12), (4, 8)):
        noise = rng.uniform(-strength, strength, (height // cell + 2, width // cell + 2, 3))
        for channel in range(3):
            coarse = Image.fromarray(noise[..., channel].astype(np.float32))
            ground[..., channel] += np.asarray(coarse.resize((width, height), Image.BICUBIC))
    return ground.clip(0, 255)


def _ink(digit, size, angle):
    """A digit with its longer side of ``size`` pixels, turned, cut to its strokes: from 0 to 1, ``(h, w)``."""
    image = Image.fromarray((digit / 16).astype(np.float32)).resize((2 * size, 2 * size), Image.BICUBIC)
    ink = np.asarray(image.rotate(angle, Image.BICUBIC, expand=True))
    ink = ink[np.ix_((ink > EDGE).any(axis=1), (ink > EDGE).any(axis=0))]
    scale = size / max(ink.shape)
    smaller = Image.fromarray(ink).resize([max(2, round(side * scale)) for side in ink.shape[::-1]], Image.BOX)
    # Steep at the edge of a stroke, whose 8 × 8 pixels are not, so that a mask is what one sees; inside as the scan is.
    return np.interp(np.asarray(smaller, dtype=np.float64), (EDGE / 4, EDGE, 1), (0, 0.5, 1))


def run_lengths(mask):
    """A bool ``(H, W)`` in COCO's run lengths: numbers of pixels outside, inside, … column by column."""
    flat = np.concatenate([[False], mask.ravel(order='F'), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends_of_runs = np.concatenate([[0], changes, [] if changes.size and changes[-1] == mask.size else [mask.size]])
    return {'size': list(mask.shape), 'counts': np.diff(ends_of_runs).astype(int).tolist()}


def write_scenes(target, digits, labels, counts, seed=0):
    """Write scenes and their annotations below ``target``.

    Parameters
    ----------
    target : path
    digits, labels : dict
        By split: arrays ``(N, 8, 8)`` of 0 to 16, and ``(N,)`` of 0 to 9.
    counts : dict
        Scenes of each split.
    seed : int

    Returns the number of digits drawn, by split.
    """
    target, drawn = Path(target), {}
    with tqdm(total=sum(counts.values()), unit='scene', desc='scenes', disable=None) as bar:
        for place, split in enumerate(SPLITS):
            images, annotations = [], []
            for number in range(counts[split]):
                scene = draw_scene(digits[split], labels[split], generator(SCENES, seed, place, number))
                images.append(_write_pictures(target, split, number, scene))
                annotations += _annotations(scene, number, len(annotations))
                bar.update()
            _write_annotations(target, split, images, annotations)
            drawn[split] = len(annotations)
    replace_file(target / 'classes.txt', '\n'.join(['ground', *CLASSES, '']))
    return drawn


def _write_pictures(target, split, number, scene):
    name = f'{number:06d}.png'
    pictures = {target / split / name: scene.image, target / 'maps' / split / name: scene.classes}
    for place, label in enumerate(scene.labels):
        pictures[target / 'digits' / split / str(label) / f'{number:06d}-{place}.png'] = scene.surroundings(place)
    for path, array in pictures.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path, compress_level=1)        # noise: more takes time, not bytes
    height, width = scene.instances.shape
    return {'id': number, 'file_name': name, 'height': height, 'width': width}


def _annotations(scene, image, first):
    found = []
    for number, (label, keypoints) in enumerate(zip(scene.labels, scene.keypoints.tolist())):
        mask = scene.mask(number)
        found.append({'id': first + number + 1, 'image_id': image, 'category_id': label + 1, 'iscrowd': 0,
                      'bbox': scene.box(number), 'area': int(mask.sum()),
                      'segmentation': run_lengths(mask), 'num_keypoints': len(keypoints),
                      'keypoints': [value for point in keypoints for value in point]})
    return found


def _write_annotations(target, split, images, annotations):
    folder = target / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    categories = [{'id': label + 1, 'name': name, 'supercategory': 'digit'} for label, name in enumerate(CLASSES)]
    plain = [{key: value for key, value in each.items() if 'keypoints' not in key} for each in annotations]
    replace_file(folder / f'instances_{split}.json', json.dumps(
        {'images': images, 'annotations': plain, 'categories': categories}))
    category = {'id': 1, 'name': 'digit', 'supercategory': 'digit', 'keypoints': KEYPOINTS, 'sigmas': SIGMAS,
                'skeleton': [[1, 2], [2, 3], [3, 4], [4, 1]]}
    replace_file(folder / f'person_keypoints_{split}.json', json.dumps(
        {'images': images, 'annotations': [{**each, 'category_id': 1} for each in annotations],
         'categories': [category]}))
