"""Detections of several versions of a picture, against a slow loop."""
import numpy as np

from resnest.gluon.tasks.detection.finding import Detections
from resnest.gluon.tasks.detection.scores import merged, mirrored_back


def drawn(rng, count):
    corners = rng.integers(0, 30, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 25, (count, 2))], 1).astype(np.float32)
    return Detections(boxes, rng.permutation(count).astype(np.float32), rng.integers(0, 3, count).astype(np.int32),
                      (60, 60), rng.random((count, 4, 4)).astype(np.float32))


def overlap(one, other):
    width, height = (max(0, min(one[k + 2], other[k + 2]) - max(one[k], other[k])) for k in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def test_the_best_of_each_place_and_class_stays():
    rng = np.random.default_rng(2)
    versions = [drawn(rng, count) for count in (20, 0, 15)]
    versions[2].scores[:] += 0.5
    every = [(box.tolist(), float(score), int(label), mask) for each in versions for box, score, label, mask in
             zip(each.boxes, each.scores, each.classes, each.probabilities)]
    kept = []
    for one in sorted(every, key=lambda each: -each[1]):
        if not any(one[2] == other[2] and overlap(one[0], other[0]) > 0.5 for other in kept):
            kept.append(one)
    found = merged(versions, 0.5, 12)
    assert 12 < len(kept) < len(every)
    assert [(box.tolist(), score, label) for box, score, label in zip(found.boxes, found.scores, found.classes)] == [
        each[:3] for each in kept[:12]]
    assert all((mask == each[3]).all() for mask, each in zip(found.probabilities, kept))


def test_what_the_mirror_image_shows_lies_in_the_picture():
    found = drawn(np.random.default_rng(3), 5)
    mirrored = mirrored_back(found, 60)
    assert (mirrored_back(mirrored, 60).boxes == found.boxes).all()
    for index in range(5):
        assert (mirrored.mask(index) == found.mask(index)[:, ::-1]).mean() > 0.999
