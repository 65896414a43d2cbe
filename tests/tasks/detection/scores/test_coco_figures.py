"""Figures of boxes and masks: pycocotools on files that say the same, and figures that are known beforehand."""
import contextlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from resnest.errors import InputError
from resnest.gluon.distributed import current
from resnest.gluon.tasks.detection.data import open_coco
from resnest.gluon.tasks.detection.scores import Found, average_precision, gather
from resnest.gluon.tasks.detection.scores.coco_figures import FIGURES

from ....data.coco import little_coco


def detections(boxes, scores, classes, masks):
    return SimpleNamespace(boxes=np.array(boxes, np.float32).reshape(-1, 4), scores=np.array(scores, np.float32),
                           classes=np.array(classes, np.int32), mask=masks.__getitem__)


def drawn(records, place):
    """The boxes, classes and masks of the objects of a picture, without crowds."""
    annotations = records.annotations
    height, width = map(int, annotations.sizes[place])
    rows = [row for row in annotations.of(place) if not annotations.crowd[row]]
    boxes = annotations.boxes[rows].copy()
    boxes[:, 2:] += boxes[:, :2]
    masks = []
    for row in rows:
        shape = annotations.shape(row)
        if isinstance(shape, list):
            shape = coco_masks.merge(coco_masks.frPyObjects([part.ravel().tolist() for part in shape], height, width))
            masks.append(coco_masks.decode(shape).astype(bool))
        else:
            masks.append(np.repeat(np.arange(len(shape)) % 2 > 0, shape).reshape(width, height).T)
    return boxes, annotations.classes[rows], masks


def on_files(tmp_path, path, results, kind):
    """pycocotools' own figures of results that are written as a file."""
    (tmp_path / 'results.json').write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        measured = COCOeval(truth, truth.loadRes(str(tmp_path / 'results.json')), kind)
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return [None if value < 0 else 100 * value for value in measured.stats]


@pytest.mark.parametrize('change', ['perfect', 'shifted', 'missing', 'more', 'confused'])
def test_figures_are_those_of_pycocotools_on_files(tmp_path, change):
    path = little_coco.write(tmp_path)
    records, found, results = open_coco('val', tmp_path, masks=True), Found(masks=True), []
    rng = np.random.default_rng(4)
    for place in (2, 0, 3, 1):      # as ranks may have them
        boxes, classes, masks = drawn(records, place)
        if change == 'shifted':
            boxes, masks = boxes + 2, [np.roll(mask, 2, axis=(0, 1)) for mask in masks]
        if change == 'missing':
            boxes, classes, masks = boxes[1:], classes[1:], masks[1:]
        if change == 'more':
            boxes, classes, masks = np.repeat(boxes, 2, 0), np.repeat(classes, 2), 2 * masks
        if change == 'confused':
            classes = (classes + rng.integers(0, 2, len(classes))) % 3
        scores = rng.random(len(classes)).astype(np.float32)
        found.add(place, detections(boxes, scores, classes, masks))
        for box, score, label, mask in zip(np.float32(boxes).astype(float).tolist(), scores.tolist(), classes, masks):
            run = coco_masks.encode(np.asfortranarray(mask, np.uint8))
            results.append({'image_id': int(records.annotations.picture_ids[place]), 'score': score,
                            'category_id': records.category_ids[label],
                            'bbox': [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                            'segmentation': {'size': run['size'], 'counts': run['counts'].decode()}})
    whole = gather(found, current())
    assert whole.pictures.tolist() == sorted(whole.pictures)
    for masks, kind in ((False, 'bbox'), (True, 'segm')):
        figures = average_precision(records.annotations, whole, range(4), masks)
        given = results if kind == 'bbox' else [{key: each[key] for key in each if key != 'bbox'} for each in results]
        assert [figures[name] for name in FIGURES] == pytest.approx(on_files(tmp_path, path, given, kind))
        if change == 'perfect' and masks:
            assert figures['ap'] == pytest.approx(100 * np.mean([each / 100 for each in figures['classes']]))
        if change == 'shifted':
            assert 0 < figures['ap'] < 100


def test_nothing_found_is_zero_and_nothing_there_is_none(tmp_path):
    found = little_coco.instances()
    found['categories'] = [*found['categories'], {'id': 91, 'name': 'nothing'}]
    little_coco.write(tmp_path, found)
    records = open_coco('val', tmp_path)
    figures = average_precision(records.annotations, Found().by_picture(), range(4))
    assert figures['ap'] == 0
    assert figures['ap_large'] is None
    assert figures['classes'] == [0, 0, 0, None]


def test_what_ranks_send_is_what_they_found():
    rng, one, other = np.random.default_rng(0), Found(masks=True), Found(masks=True)
    for picture in (5, 3):
        one.add(picture, detections(rng.random((2, 4)), rng.random(2), [1, 0], rng.random((2, 7, 9)) > 0.5))
    one.add(1, detections([], [], [], []))
    other.extend(one.to_bytes())
    other.extend(Found(masks=True).to_bytes())
    sent, whole = one.by_picture(), other.by_picture()
    assert sent.pictures.tolist() == [3, 3, 5, 5]
    assert sent.masks == whole.masks
    for name in ('pictures', 'classes', 'boxes', 'scores'):
        assert (getattr(sent, name) == getattr(whole, name)).all()
    with pytest.raises(InputError, match='not finite'):
        one.add(2, detections([[0, 0, np.nan, 1]], [1], [0], [np.zeros((3, 3))]))
