"""Keypoints in COCO's format: what is read, and what is refused in one line."""
import json

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data.coco.keypoints import COCO_JOINTS, Joints, read_keypoints

CATEGORY = {'id': 1, 'name': 'digit', 'keypoints': ['top', 'right', 'bottom', 'left'],
            'skeleton': [[1, 2], [2, 3], [3, 4], [4, 1]]}


def content(**changed):
    """Two objects with joints, and one without."""
    plain = {'image_id': 1, 'category_id': 1, 'bbox': [2, 3, 10, 12], 'area': 60, 'iscrowd': 0}
    return {'images': [{'id': 1, 'file_name': 'a.png', 'height': 40, 'width': 50}], 'categories': [CATEGORY],
            'annotations': [{**plain, 'id': 5, 'keypoints': [5, 3, 2, 11, 9, 2, 6, 14, 1, 0, 0, 0]},
                            {**plain, 'id': 6}, {**plain, 'id': 7, 'keypoints': [0, 1, 2] + [4, 4, 1] * 3,
                                                 **changed}]}


def written(tmp_path, found):
    path = tmp_path / 'person_keypoints_val.json'
    path.write_text(json.dumps(found))
    return path


def test_they_are_read_beside_the_boxes(tmp_path):
    found = read_keypoints(written(tmp_path, content()))
    assert found.joints.names == ('top', 'right', 'bottom', 'left')
    assert found.joints.edges == ((0, 1), (1, 2), (2, 3), (3, 0))
    assert found.joints.pairs == ((3, 1),)
    assert found.joints.sigmas == (0.05,) * 4
    assert found.points[0].tolist() == [[5, 3, 2], [11, 9, 2], [6, 14, 1], [0, 0, 0]]
    assert not found.points[1].any()
    assert found.boxes[2].tolist() == [2, 3, 10, 12]


def test_objects_of_a_category_without_joints_have_none(tmp_path):
    found = content()
    found['categories'] = [{'id': 4, 'name': 'car'}, CATEGORY]
    cars = [{**found['annotations'][1], 'category_id': 4, 'id': 8 + number, 'keypoints': keypoints}
            for number, keypoints in enumerate(([], [1, 1, 2], [1, 1, 2] * 4))]
    found['annotations'][1:1] = cars
    read, plain = (read_keypoints(written(tmp_path, each)) for each in (found, content()))
    assert read.jointed.tolist() == [True, False, False, False, True, True]
    assert (read.points[[0, 4, 5]] == plain.points).all()
    assert not read.points[1:4].any()


def test_the_joints_of_coco():
    """Its sigmas are those of pycocotools, and 8 pairs change places in a mirror."""
    evaluation = pytest.importorskip('pycocotools.cocoeval', reason='pycocotools is an extra; make test installs it')
    np.testing.assert_allclose(COCO_JOINTS.sigmas, evaluation.Params('keypoints').kpt_oks_sigmas)
    assert Joints(COCO_JOINTS.names) == Joints(COCO_JOINTS.names, sigmas=COCO_JOINTS.sigmas)
    assert COCO_JOINTS.pairs == tuple((place, place + 1) for place in range(1, 16, 2))
    assert len(COCO_JOINTS.edges) == 19


@pytest.mark.parametrize('names, pairs', [
    (('l_eye', 'r_eye', 'nose'), ((0, 1),)), (('Right Knee', 'Left Knee'), ((1, 0),)), (('hip.L', 'hip.R'), ((0, 1),)),
    (('L1', 'R1', 'L2'), ((0, 1),)), (('tail', 'tair', 'ball', 'left'), ()), (('rightEar', 'leftEar'), ((1, 0),))])
def test_what_changes_places_in_a_mirror(names, pairs):
    assert Joints(names).pairs == pairs


@pytest.mark.parametrize('changed, told', [
    ({'keypoints': [1, 2]}, 'annotation 7: keypoints must be numbers x, y, visibility'),
    ({'keypoints': [1, 2, 3]}, 'a visibility must be 0, 1 or 2'),
    ({'keypoints': [1, 2, 2]}, 'annotation 7: 1 keypoints, but its category has 4'),
    ({'keypoints': 'x'}, 'annotation 7: keypoints must be'),
    ({'keypoints': [1e9, 2, 2] * 4}, 'far outside of its picture'),
    ({'keypoints': [True, 2, 2] * 4}, 'keypoints must be numbers')])
def test_no_joints(tmp_path, changed, told):
    with pytest.raises(InputError, match='^[^\n]*person_keypoints_val.json[^\n]*$') as refused:
        read_keypoints(written(tmp_path, content(**changed)))
    assert told in str(refused.value)


@pytest.mark.parametrize('changed, told', [
    ({'keypoints': None}, 'no category has keypoints'), ({'keypoints': ['a', 'a']}, 'no two of them alike'),
    ({'skeleton': [[1, 5]]}, 'pairs of the 4 keypoints'), ({'skeleton': 3}, 'the skeleton must be a list'),
    ({'skeleton': [3]}, 'pairs of the 4 keypoints'), ({'sigmas': [0.1] * 3}, 'for each of the 4 keypoints'),
    ({'sigmas': [0.1, 0, 1, 1]}, 'above 0')])
def test_no_category(tmp_path, changed, told):
    found = {**content(), 'categories': [{**CATEGORY, **changed}]}
    with pytest.raises(InputError, match='^[^\n]*person_keypoints_val.json[^\n]*$') as refused:
        read_keypoints(written(tmp_path, found))
    assert told in str(refused.value)


def test_two_kinds_of_joints(tmp_path):
    other = {**CATEGORY, 'id': 2, 'keypoints': ['a', 'b'], 'skeleton': []}
    with pytest.raises(InputError, match='category 2 has other keypoints'):
        read_keypoints(written(tmp_path, {**content(), 'categories': [CATEGORY, other]}))
