"""People as they are read, cropped and batched, on scenes of digits; and how their joints are scored."""
import json

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data.coco.keypoints import Joints, Keypoints
from resnest.gluon.tasks.pose import POSE
from resnest.gluon.tasks.pose.data import CropLoader, Plain, Training, open_people
from resnest.gluon.tasks.pose.heatmaps import decode
from resnest.gluon.tasks.pose.placing import moved
from resnest.gluon.tasks.pose.scores.similarity import average_precision, person_scores

from .little_people import write

SPEC = POSE['simple_pose_resnest50'].__class__('simple_pose_resnest50', 'resnest14', joints=4, height=128, width=96)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return write(tmp_path_factory.mktemp('people') / 'scenes')


def test_people_are_those_of_the_file(scenes):
    with open_people('train', scenes) as people:
        told = json.loads((scenes / 'annotations/person_keypoints_train.json').read_text())['annotations']
        assert len(people) == len(told)
        for index in (0, len(told) - 1):
            picture, box, points = people.read(index)
            assert picture.shape[:2] == tuple(people.annotations.sizes[people.place(index)])
            assert box.tolist() == told[index]['bbox']
            assert points.ravel().tolist() == told[index]['keypoints']


def test_maps_lie_where_the_joints_are(scenes):
    """The ink of a digit is lighter than the ground: so is the crop at the joints that its maps tell, mirrored and
    turned too, and each joint keeps its side of the digit."""
    people = open_people('train', scenes)
    for index in range(len(people)):
        crop, maps, weights = Training(SPEC, people.joints.pairs)(*people.read(index), np.random.default_rng(index))
        assert crop.shape == (128, 96, 3)
        assert maps.shape == (4, 32, 24)
        points = decode(maps[None])[0][0] * 4
        top, right, bottom, left = points
        if weights.all():
            assert right[0] > left[0] or abs(right[1] - left[1]) > 20
            assert bottom[1] > top[1]


def test_the_way_back(scenes):
    """What a plain crop's map tells of a point is where it lies in the picture."""
    people = open_people('val', scenes)
    picture, box, points = people.read(0)
    crop, placed = Plain(SPEC)(picture, box)
    for joint in ([3, 5], [12, 16], [20, 30]):
        x, y = np.round(moved(placed, joint)).astype(int)
        if 0 <= x < picture.shape[1] and 0 <= y < picture.shape[0]:
            around = picture[max(0, y - 2):y + 3, max(0, x - 2):x + 3].reshape(-1, 3).astype(int)
            pixel = crop[4 * joint[1], 4 * joint[0]].astype(int)
            assert (around.min(0) - 3 <= pixel).all()
            assert (pixel <= around.max(0) + 3).all()


def test_samples_do_not_depend_on_workers(scenes):
    people = open_people('train', scenes)
    batches = [np.array([0, 2]), np.array([1, 3])]
    one, other = ([[each.tolist() for each in batch] for batch in CropLoader(
        people, Training(SPEC, people.joints.pairs), batches, workers, seed=3, epoch=1)] for workers in (0, 2))
    assert one == other
    assert np.array(one[0][1]).shape == (2, 4, 32, 24)


def test_what_is_missing(scenes, tmp_path):
    with pytest.raises(InputError, match='^[^\n]*person_keypoints_val[^\n]*$'):
        open_people('val', tmp_path)
    with pytest.raises(InputError, match='give --data-dir, or'):
        open_people('val')
    with pytest.raises(InputError, match='a picture of .* that is missing'):
        open_people('val', annotations=scenes / 'annotations/person_keypoints_val.json', images=tmp_path)


def truth(jointed=True):
    """Two pictures: a person each, of areas 100 and 400, and a crowd in the second."""
    pictures = np.array([0, 1, 1])
    points = np.array([[[5, 5, 2], [8, 9, 1]], [[10, 10, 2], [0, 0, 0]], [[3, 3, 0], [3, 3, 0]]], float)
    return Keypoints('a.json', np.array([1, 2]), np.full((2, 2), 50), None, [(1, 'x')], np.arange(3), pictures,
                     np.array([[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 50, 50]], float), np.zeros(3, int),
                     np.array([False, False, True]), np.array([100.0, 400.0, 2500.0]), None, None, None,
                     joints=Joints(('a', 'b'), sigmas=(0.1, 0.2)), points=points,
                     jointed=np.array([True, True, jointed]))


def test_similarity_by_its_formula():
    """OKS is the mean of exp(-d² / 2 s² k²) over the joints that are annotated, with k twice the sigma; at each of ten
    thresholds a person counts whose OKS is above it."""
    shifts = np.array([[[1.0, 0], [0, 3.0]], [[2.0, 2.0], [40, 40]]])
    keypoints = truth()
    points = keypoints.points[:2, :, :2] + shifts
    found = average_precision(keypoints, [0, 1], [0, 1], points, [0.9, 0.8])
    similar = [np.mean([np.exp(-1 / (2 * 100 * 0.2 ** 2)), np.exp(-9 / (2 * 100 * 0.4 ** 2))]),
               np.exp(-8 / (2 * 400 * 0.2 ** 2))]
    thresholds = np.arange(0.5, 1, 0.05)
    recalls = [np.mean([oks >= limit for oks in similar]) for limit in thresholds]
    assert found['ar'] == pytest.approx(100 * np.mean(recalls))
    assert found['ap50'] == pytest.approx(100)
    assert average_precision(keypoints, [0, 1], [0, 1], points - shifts, [0.9, 0.8])['ap'] == pytest.approx(100)
    assert average_precision(keypoints, [0, 1], [], np.zeros((0, 2, 2)), [])['ap'] == 0


@pytest.mark.parametrize('jointed, ap50', [(True, 100), (False, 50)])
def test_a_joint_in_an_object_of_another_category_is_wrong(jointed, ap50):
    """Whereas there is no telling in a crowd, which the third object is otherwise."""
    keypoints = truth(jointed)
    points = np.stack([keypoints.points[1, :, :2] + 30, keypoints.points[1, :, :2]])
    found = average_precision(keypoints, [1], [1, 1], points, [0.9, 0.8])
    assert found['ap50'] == pytest.approx(ap50, abs=1)


def test_the_score_of_a_person_is_the_mean_of_the_joints_that_are_sure():
    found = person_scores(np.array([[0.5, 0.1, 0.9], [0.1, 0.1, 0.0]]), np.array([0.5, 1]))
    np.testing.assert_allclose(found, [0.35, 0])
