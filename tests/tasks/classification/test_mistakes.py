"""The counts of each class and the confusion matrix, against loops; the picture and the JSON."""
import json

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.tasks.classification.evaluation import count_correct
from resnest.gluon.tasks.classification.mistakes import (
    Mistakes,
    class_table,
    confusion,
    require_confusion,
    worst_classes,
    write_confusion,
)


def by_loop(logits, labels, classes):
    """The matrix, one image after the other; the label comes last among equals, as in count_correct."""
    matrix = np.zeros((classes, classes), int)
    for row, label in zip(logits, labels):
        order = sorted(range(classes), key=lambda each: (-row[each], each == label, each))
        matrix[label, order[0]] += 1
    return matrix


@pytest.mark.parametrize('classes', [2, 5, 60])
def test_counts_are_those_of_a_loop(classes):
    rng = np.random.default_rng(classes)
    logits = rng.integers(0, 4, (300, classes)).astype('float32')      # many are equal
    labels = rng.integers(classes, size=300)
    whole, parts = Mistakes(classes, pairs=True), [Mistakes(classes, pairs=True) for _ in range(2)]
    whole(logits, labels)
    for number, at in enumerate((slice(0, 120), slice(120, 300))):
        parts[number](logits[at], labels[at])
    wanted = by_loop(logits, labels, classes)
    np.testing.assert_array_equal(whole.counts['pairs'], wanted)
    np.testing.assert_array_equal(whole.counts['seen'], wanted.sum(axis=1))
    np.testing.assert_array_equal(whole.counts['right'], wanted.diagonal())
    assert wanted.diagonal().sum() == count_correct(logits, labels)[0]
    for name, counts in whole.counts.items():
        np.testing.assert_array_equal(counts, parts[0].counts[name] + parts[1].counts[name])
    found = confusion(wanted.astype('float64'), [str(number) for number in range(classes)])
    if classes <= 40:
        assert found['matrix'] == wanted.tolist()
    else:
        again = np.zeros_like(wanted)
        for row, column, count in found['entries']:
            again[row, column] = count
        np.testing.assert_array_equal(again, wanted)
    assert json.loads(json.dumps(found)) == found


def test_the_table_and_the_worst():
    counts = {'seen': np.array([4.0, 0, 10, 2]), 'right': np.array([3.0, 0, 1, 2])}
    table = class_table(counts, ['a', 'b', 'c', 'd'])
    assert table == [{'class': 0, 'name': 'a', 'seen': 4, 'right': 3, 'top1': 75.0},
                     {'class': 2, 'name': 'c', 'seen': 10, 'right': 1, 'top1': 10.0},
                     {'class': 3, 'name': 'd', 'seen': 2, 'right': 2, 'top1': 100.0}]
    assert worst_classes(table) == 'worst classes: c 10.00 % of 10, a 75.00 % of 4'
    assert worst_classes(table[:1]) is worst_classes(table[2:]) is None


@pytest.mark.parametrize('classes, seen, sides', [(2, 2, 2), (40, 40, 40), (1000, 7, 7), (1000, 90, 40)])
def test_the_picture(tmp_path, monkeypatch, classes, seen, sides):
    """Of large matrices it shows what was seen, or the most confused; here the first of them."""
    rng = np.random.default_rng(0)
    pairs = np.zeros((classes, classes))
    pairs[np.arange(seen), np.arange(seen)] = 500
    pairs[:seen, :seen] += rng.integers(0, 3, (seen, seen)) + 100 * (np.arange(seen) < 40)[:, None] * (seen > 40)
    drawn = []
    from matplotlib.axes import Axes
    monkeypatch.setattr(Axes, 'set_yticks', lambda self, ticks, labels, **_: drawn.append(labels))
    write_confusion(tmp_path / 'x.png', pairs, [f'class {number}' for number in range(classes)])
    assert drawn == [[f'class {number}' for number in range(sides)]]
    with Image.open(tmp_path / 'x.png') as image:
        assert min(image.size) > 300


def test_what_cannot_be_written_is_told_before(tmp_path):
    require_confusion(None)
    require_confusion(tmp_path / 'x.json')
    for name in ('x.txt', 'none/x.json'):
        with pytest.raises(InputError, match='--confusion'):
            require_confusion(tmp_path / name)
    with pytest.raises(InputError, match='6000 classes'):
        Mistakes(6000, pairs=True)
    assert Mistakes(6000).counts.keys() == {'seen', 'right'}
