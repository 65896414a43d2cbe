"""Damaged annotations of keypoints, and their pictures, behind the loader and through the figures; files of boxes."""
import json

import numpy as np

from resnest.gluon.tasks.pose.data import CropLoader, PeopleSet, Plain, Training
from resnest.gluon.tasks.pose.picturing import read_boxes
from resnest.gluon.tasks.pose.scores.similarity import average_precision
from resnest.gluon.tasks.pose.table import PoseSpec

from ..data.coco import little_coco
from .mutations import damaged_bytes, damaged_json, hostile_file

NUMBERS = [0, -1, 1, 7, 2.5, 60, 1e9, -1e9, 1e308, True, None, '1', [], 1 << 70]
CATEGORY = {'keypoints': ['left end', 'middle', 'right end'], 'skeleton': [[1, 2], [2, 3]], 'sigmas': [0.1, 0.05, 0.1]}
BOXES = {'pictures': [{'file': 'a.png', 'objects': [{'score': 0.9, 'box': [1, 2, 30, 40]}, {'box': [0, 0, 9, 9.5]}]}]}


def case(rng, folder):
    path = write(rng, folder)
    for _ in range(int(rng.integers(0, 3))):
        damage(rng, [path, path, *sorted(folder.rglob('*.png'))][int(rng.integers(6))])
    if rng.random() < 0.04:
        path.unlink()
        hostile_file(rng, path)
    boxes = folder / 'boxes.json'
    boxes.write_bytes(damaged_json(rng, json.dumps(BOXES)))
    if rng.random() < 0.3:
        assert all(x0 < x1 for _, found in read_boxes(boxes).values() for _, (x0, _, x1, _) in found)
    people = PeopleSet(path, folder / 'val2017')
    count = len(people.joints.names)
    spec = PoseSpec('simple_pose_resnest50', 'resnest50', joints=count, height=64, width=32)
    for transform in (Plain(spec), Training(spec, people.joints.pairs, 0.3, 60.0, 0.5)):
        (crops, *rest), = CropLoader(people, transform, [range(len(people))], int(rng.choice([0, 2])))
        assert crops.shape == (len(people), 64, 32, 3)
        assert all(np.isfinite(each).all() for each in rest)
    places = [people.place(index) for index in range(len(people))]
    points = rng.normal(size=(len(people), count, 2)) * 30
    figures = average_precision(people.annotations, sorted(set(places)), places, points, rng.random(len(people)))
    assert figures['ap'] is None or 0 <= figures['ap'] <= 100


def write(rng, folder):
    """The objects of :mod:`..data.coco.little_coco`, each with three keypoints."""
    found = little_coco.instances()
    found['categories'] = [{**each, **CATEGORY} for each in found['categories']]
    for each in found['annotations']:
        each['keypoints'] = [value for _ in range(3) for value in (*rng.integers(0, 60, 2).tolist(), 2)]
    return little_coco.write(folder, found)


def damage(rng, path):
    if path.suffix == '.png':
        return path.write_bytes(damaged_bytes(rng, path.read_bytes(), 2))
    text = path.read_text(errors='replace')
    if rng.random() < 0.5:
        return path.write_bytes(damaged_json(rng, text))
    try:
        found = json.loads(text)
        one = found['categories' if rng.random() < 0.3 else 'annotations'][0]
        values = one[str(rng.choice(sorted({'keypoints', 'skeleton', 'sigmas', 'bbox'} & one.keys())))]
        values[int(rng.integers(len(values)))] = NUMBERS[int(rng.integers(len(NUMBERS)))]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return path.write_text(json.dumps(found))
