"""Pixel accuracy and mean IoU against sets of pixels."""
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.tasks.segmentation.scores.metrics import confusion, figures


def test_against_sets_of_pixels():
    """Class 4 is nowhere, class 3 is predicted only."""
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(-1, 3, (3, 8, 9)), rng.integers(0, 4, (3, 8, 9))
    counts = confusion(predictions, labels, 5)
    where = [place for place in np.ndindex(labels.shape) if labels[place] >= 0]
    for label in range(5):
        for predicted in range(5):
            assert counts[label, predicted] == sum(labels[place] == label and predictions[place] == predicted
                                                   for place in where)
    ious = []
    for label in range(4):
        truth, found = ({place for place in where if maps[place] == label} for maps in (labels, predictions))
        ious.append(len(truth & found) / len(truth | found))
    result = figures(counts)
    np.testing.assert_allclose(result['iou'], [*ious, np.nan])
    assert ious[3] == 0
    assert result['miou'] == pytest.approx(np.mean(ious))
    assert result['pixel_accuracy'] == pytest.approx(np.mean([labels[place] == predictions[place] for place in where]))


def test_counts_add_up():
    rng = np.random.default_rng(1)
    labels, predictions = rng.integers(0, 3, (4, 6, 5)), rng.integers(0, 3, (4, 6, 5))
    parts = [confusion(one, other, 3) for one, other in zip(predictions, labels)]
    np.testing.assert_array_equal(sum(parts), confusion(predictions, labels, 3))
    nothing = confusion(predictions, np.full_like(labels, 255), 3, ignored=255)
    assert nothing.sum() == 0
    assert np.isnan([figures(nothing)['miou'], figures(nothing)['pixel_accuracy']]).all()


@pytest.mark.parametrize('predictions, labels, wanted', [
    ([0, 1], [0, 3], 'labels from 0 to 3, but there are 3 classes'),
    ([0, 5], [0, 1], 'predictions from 0 to 5'), ([0], [0, 1], 'cannot be compared')])
def test_what_cannot_be(predictions, labels, wanted):
    with pytest.raises(InputError, match=wanted):
        confusion(np.array(predictions), np.array(labels), 3)
