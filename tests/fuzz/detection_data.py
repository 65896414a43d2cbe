"""Damaged annotations, run lengths and pictures of detection data, behind the loader; what was found of any kind,
through the figures."""
import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.tasks.detection.data import CocoLoader, CocoSet, Training, Unchanged, open_coco
from resnest.gluon.tasks.detection.scores import Found, average_precision, segment_counts

from ..data.coco import little_coco
from .mutations import damaged_bytes, damaged_json, hostile_file

# In the place of a box, of polygons or of run lengths.
SHAPES = [[0, 0, 0, 0], [-9, 0, 5, 5], [0, 0, -1, 9], [1e308] * 4, [0.1] * 4, [[1e308] * 6], [[0, 0, 0, 0, 0, 0]],
          [[1e5] * 99], [[]], {'size': [60, 40], 'counts': 'PYY1'}, {'size': [60, 40], 'counts': [2400]},
          {'size': [60, 40]}, {'size': [2 ** 40, 40], 'counts': [2 ** 40 * 40]},
          {'size': [60, 40], 'counts': 'o' * 99}, {'size': [60, 40], 'counts': [2 ** 62] * 4},
          {'size': [60, 40], 'counts': [0, 2400, 0]}]
NUMBERS = np.array([0, -1, 1, 7, 40, 60, 1e-9, 1e9, -1e9, 1e30, -1e30, 1e38, np.inf, -np.inf, np.nan])


def case(rng, folder):
    path = little_coco.write(folder)
    little_coco.write_panoptic(path)
    files = [path, path, path.with_name('panoptic_val2017.json'), *sorted(folder.rglob('*.png'))]
    for _ in range(int(rng.integers(0, 3))):
        _damage(rng, files[int(rng.integers(len(files)))])
    if rng.random() < 0.04:
        path.unlink()
        hostile_file(rng, path)
    masks = bool(rng.random() < 0.7)
    kinds, training = (rng.random(2) < 0.5).tolist()
    records = CocoSet(path, folder / 'val2017', masks, kinds, training)
    _figures(rng, open_coco('val', folder, masks=masks))
    for transform in (Unchanged(), Training([8, 50], 60, True, 0.5, 0.3)):
        (pictures, truths), = CocoLoader(records, transform, [range(len(records))], int(rng.choice([0, 2])))
        for picture, truth in zip(pictures, truths):
            height, width = picture.shape[:2]
            assert np.isfinite(truth.boxes).all()
            assert (truth.boxes[:, 2:] > truth.boxes[:, :2]).all()
            assert (truth.boxes >= -1e-3).all()
            assert (truth.boxes <= np.array([width, height] * 2) + 1e-3).all()
            assert truth.kinds is None or truth.kinds.shape == (height, width)
            assert all(isinstance(mask, list) or mask.shape == (height, width) for mask in truth.masks or ())


def _damage(rng, path):
    data = path.read_bytes()
    if path.suffix == '.png':
        return path.write_bytes(damaged_bytes(rng, data, 2))
    if rng.random() < 0.6:
        return path.write_bytes(damaged_json(rng, data.decode(errors='replace')))
    try:
        one = rng.choice((found := json.loads(data))['annotations'])
        one[str(rng.choice(['bbox', 'segmentation', 'segments_info']))] = SHAPES[int(rng.integers(len(SHAPES)))]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return path.write_text(json.dumps(found))


def _figures(rng, records):
    found, annotations = Found(records.masks), records.annotations
    for place in range(len(records)):
        size, count = annotations.sizes[place], int(rng.integers(0, 8))
        boxes = rng.choice(NUMBERS if rng.random() < 0.1 else NUMBERS[:12], (count, 4))
        masks = rng.random((count, *size.clip(1, 100))) < rng.choice([0, 0.1, 1])
        with contextlib.nullcontext() if np.isfinite(boxes).all() else pytest.raises(InputError, match='not finite'):
            found.add(place, SimpleNamespace(boxes=boxes, scores=rng.choice(NUMBERS[:8], count), mask=masks.__getitem__,
                                             classes=rng.integers(0, len(records.names), count)))
    if (annotations.sizes < 100).all():     # as are the masks
        for masks in {False, records.masks}:
            figures = average_precision(annotations, found.by_picture(), range(len(records)), masks)
            assert figures['ap'] is None or 0 <= figures['ap'] <= 100
    ids = rng.integers(0, 4, (2, 9, 9))
    counts = segment_counts(ids[0], ([1, 2, 3], [1, 2, 1], [0, 1, 0]), ids[1], ([1, 2, 3], [1, 2, 2]), [1, 2])
    assert np.isfinite(counts).all()
