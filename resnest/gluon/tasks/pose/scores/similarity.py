"""Average precision of joints by object keypoint similarity, as COCO measures it
(https://cocodataset.org/#keypoints-eval), by its own pycocotools."""
import contextlib
import io

import numpy as np

from resnest.runtime import import_extra

__all__ = ['FIGURES', 'average_precision', 'person_scores']

# COCO's ten figures, in its order.
FIGURES = ('ap', 'ap50', 'ap75', 'ap_medium', 'ap_large', 'ar', 'ar50', 'ar75', 'ar_medium', 'ar_large')
SURE = 0.2      # least value of a heat map that counts for the score of a person


def person_scores(scores, box_scores=1.0, least=SURE):
    """The scores ``(N,)`` of people: the mean of those of their joints ``(N, J)`` that are at least ``least``, 0 where
    none is, times the scores of their boxes."""
    counted = scores >= least
    return np.where(counted, scores, 0).sum(-1) / np.maximum(1, counted.sum(-1)) * box_scores


def average_precision(keypoints, pictures, people, points, scores):
    """COCO's figures in per cent, None where there is nothing that they could be of.

    Parameters
    ----------
    keypoints : resnest.gluon.data.coco.keypoints.Keypoints
        The truth. A crowd, and an object of which no joint is annotated, are no errors when they are found or missed;
        objects of categories without joints are passed over.
    pictures : sequence of int
        The places, among those of ``keypoints``, of all pictures that were looked at.
    people : sequence of int
        The picture of each person that was found, ``(N,)``.
    points : array
        Their joints, x and y, ``(N, J, 2)``, in pixels of the picture.
    scores : array
        ``(N,)``.

    Returns a dict of :data:`FIGURES`. How far a joint may lie from the truth follows from ``keypoints.joints.sigmas``
    and from the area of the object. Raises MissingPackage without pycocotools.
    """
    import_extra('pycocotools')
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        truth, given = COCO(), COCO()
        truth.dataset = {'images': [{'id': int(place)} for place in pictures], 'categories': [{'id': 1}],
                         'annotations': list(_truth(keypoints, pictures))}
        given.dataset = {**truth.dataset, 'annotations': list(_given(people, points, scores))}
        for each in (truth, given):
            for number, one in enumerate(each.dataset['annotations'], 1):
                one['id'] = number      # a zero would be no match
            each.createIndex()
        measured = COCOeval(truth, given, 'keypoints')
        measured.params.kpt_oks_sigmas = np.array(keypoints.joints.sigmas)
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return {name: None if value < 0 else 100 * float(value) for name, value in zip(FIGURES, measured.stats)}


def _truth(keypoints, pictures):
    for place in pictures:
        for row in (each for each in keypoints.of(place) if keypoints.jointed[each]):
            values = keypoints.points[row]
            yield {'image_id': int(place), 'category_id': 1, 'iscrowd': int(keypoints.crowd[row]),
                   'bbox': keypoints.boxes[row].tolist(), 'area': float(keypoints.areas[row]),
                   'keypoints': values.ravel().tolist(), 'num_keypoints': int((values[:, 2] > 0).sum())}


def _given(people, points, scores):
    for place, each, score in zip(people, np.asarray(points, np.float64), scores):
        low, high = each.min(0), each.max(0)
        yield {'image_id': int(place), 'category_id': 1, 'score': float(score), 'iscrowd': 0,
               'bbox': [*low.tolist(), *(high - low).tolist()], 'area': float(np.prod(high - low)),
               'keypoints': np.concatenate([each, np.ones((len(each), 1))], -1).ravel().tolist()}
