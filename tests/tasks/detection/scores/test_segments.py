"""Panoptic quality against a slow loop, and figures that are known beforehand."""
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.tasks.detection.scores import panoptic_quality, segment_counts

CATEGORIES = [3, 7, 92]


def slowly(truth, segments, found, found_segments):
    """The definition, pair by pair."""
    counts = np.zeros((3, 4))
    matched, matches = set(), set()
    for number, category, crowd in zip(*segments):
        for other, found_category in zip(*found_segments):
            one, two = truth == number, found == other
            union = (one | two).sum() - (two & (truth == 0)).sum()
            if category == found_category and not crowd and union and (one & two).sum() / union > 0.5:
                counts[CATEGORIES.index(category)] += (one & two).sum() / union, 1, 0, 0
                matched.add(number)
                matches.add(other)
    for number, category, crowd in zip(*segments):
        if number not in matched and not crowd and (truth == number).any():
            counts[CATEGORIES.index(category), 3] += 1
    for other, category in zip(*found_segments):
        here, passed = found == other, truth == 0
        for number, kind, crowd in zip(*segments):
            if crowd and kind == category:
                passed = passed | (truth == number)
        if other not in matches and here.any() and (here & passed).sum() / here.sum() <= 0.5:
            counts[CATEGORIES.index(category), 2] += 1
    return counts


def drawn(rng, numbers, shape=(12, 15)):
    """Rectangles one over the other."""
    ids = np.zeros(shape, np.int64)
    for number in numbers:
        top, left = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        ids[top:top + rng.integers(2, 10), left:left + rng.integers(2, 12)] = number
    return ids


def test_counts_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    total = np.zeros((3, 4))
    for _ in range(300):
        numbers, others = [70001, 5, 300, 9], [1, 2, 3]
        truth = drawn(rng, numbers)
        found = np.where(rng.random() < 0.7, truth % 4, 0) if rng.random() < 0.5 else drawn(rng, others)
        segments = numbers, rng.choice(CATEGORIES, 4), rng.random(4) < 0.3
        found_segments = others, rng.choice(CATEGORIES, 3)
        counts = segment_counts(truth, segments, found, found_segments, CATEGORIES)
        np.testing.assert_allclose(counts, slowly(truth, segments, found, found_segments), atol=1e-12)
        total += counts
    assert (total > 5).all(), 'each kind of count was there'


def test_figures_of_all_of_things_and_of_stuff():
    figures = panoptic_quality([[1.6, 2, 0, 0], [0.8, 1, 1, 1], [0, 0, 0, 0]], [True, False, False])
    assert figures == pytest.approx({
        'pq': 60, 'sq': 80, 'rq': 75, 'pq_things': 80, 'sq_things': 80, 'rq_things': 100, 'pq_stuff': 40,
        'sq_stuff': 80, 'rq_stuff': 50, 'classes': [80, 40, None]})
    assert panoptic_quality(np.zeros((3, 4)), [True] * 3)['pq'] is None


def test_what_cannot_be_compared_is_refused():
    nothing = [], [], []
    with pytest.raises(InputError, match='pixels cannot be compared'):
        segment_counts(np.zeros((2, 3), int), nothing, np.zeros((3, 2), int), ([], []), CATEGORIES)
    with pytest.raises(InputError, match='segment 4 is of category 8'):
        segment_counts(np.zeros((2, 3), int), nothing, np.zeros((2, 3), int), ([4], [8]), CATEGORIES)
