"""The command that verifies detectors, with drawn weights: pycocotools' own figures, ranks, and what bad input says."""
import json
import sys

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from resnest.commands.detection import verify
from resnest.gluon.models.weights.description import write_description
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import Categories, detect
from resnest.gluon.tasks.detection.describing import described
from resnest.gluon.tasks.detection.scores.coco_figures import FIGURES

from ...conftest import ROOT, assert_refused, command, horovodrun, needs_horovod, read_json, run_here
from ...data.coco import little_coco
from .drawn import drawn_net
from .scores.test_coco_figures import on_files

NETWORK = dict(base='resnest14', stem_width=16, classes=3, proposals=40, detections=20, box_convolutions=1, box_dense=0,
               mask_convolutions=1, short_side=64, long_side=128, least_score=0.01)
NAMES = ['dog', 'cat', 'kite']


def save(net, path, names=NAMES):
    net.save_parameters(str(path))
    write_description(path, described(net, Categories(names, [3, 7, 90][:len(names)])))
    return path


@pytest.fixture(scope='module')
def net():
    return drawn_net('mask_rcnn_fpn_resnest50', **NETWORK)


@pytest.fixture(scope='module')
def weights(net, tmp_path_factory):
    return save(net, tmp_path_factory.mktemp('weights') / 'best.params')


@pytest.fixture
def data(tmp_path):
    little_coco.write(tmp_path, split='train')
    little_coco.write(tmp_path)
    return tmp_path


def run(data, weights, *words):
    return run_here(verify.main, 'verify_detection.py', '--no-cuda', '--data-dir', data, '--resume', weights, *words)


def test_figures_are_those_of_pycocotools_for_what_detect_finds(data, net, weights):
    result = run(data, weights, '--json', data / 'found.json', '-j', 0)
    assert result.returncode == 0, result.stderr
    found, results = read_json(data / 'found.json'), []
    for number in range(1, 5):
        one, = detect(net, [data / f'val2017/{number:04d}.png'])
        assert len(one) > 3
        for index, (box, score, label) in enumerate(zip(one.boxes.astype(float), one.scores, one.classes)):
            runs = coco_masks.encode(np.asfortranarray(one.mask(index), np.uint8))
            results.append({'image_id': number, 'category_id': [3, 7, 90][label], 'score': float(score),
                            'bbox': [*box[:2], *(box[2:] - box[:2])],
                            'segmentation': {'size': runs['size'], 'counts': runs['counts'].decode()}})
    path = data / 'annotations/instances_val2017.json'
    without = [{key: each[key] for key in each if key != 'bbox'} for each in results]
    for name, kind, given in (('box', 'bbox', results), ('mask', 'segm', without)):
        assert [found[name][key] for key in FIGURES] == pytest.approx(on_files(data, path, given, kind), abs=0.5)
    assert found['box']['ar_100'] > 0
    assert (found['panoptic'], found['seen'], found['short_sides']) == (None, 4, [64])
    assert [row['name'] for row in found['classes']] == NAMES
    assert 'box AP' in result.stdout
    assert 'mask AP' in result.stdout


def test_a_file_and_a_folder_at_several_scales(data, weights):
    result = run_here(verify.main, 'verify_detection.py', '--no-cuda', '--resume', weights, '--annotations',
                      data / 'annotations/instances_val2017.json', '--images', data / 'val2017', '--limit', 1, '--flip',
                      '--short-sides', 64, 96, '--json', data / 'found.json')
    assert result.returncode == 0, result.stderr
    assert 'of 1 pictures (short side 64 96, mirrored too, float32)' in result.stdout


def test_what_cannot_be_verified_is_one_line(data, net, weights):
    path = data / 'annotations/instances_val2017.json'
    whole = path.read_text()
    found = little_coco.instances()
    found['annotations'][0]['bbox'][2] = -5
    for text, what in ((whole[:300], 'not JSON'), ('{}', "no list 'images'"), (json.dumps(found), 'negative width'),
                       (json.dumps({**found, 'annotations': []}), 'no annotations')):
        path.write_text(text)
        assert_refused(run(data, weights), path, what)
    path.write_text(whole)
    assert_refused(run_here(verify.main, 'verify_detection.py', '--resume', weights), 'give --data-dir')
    assert_refused(run(data / 'nothing', weights), 'nothing: no such folder')
    assert_refused(run(data, save(net, data / 'other.params', ['dog', 'cow', 'kite'])), "'cow'", "'cat'")
    assert_refused(run(data, save(net, data / 'digits.params', ['dog', '1', 'kite'])), "'1'", "'cat'")
    one = drawn_net('mask_rcnn_fpn_resnest50', **{**NETWORK, 'classes': 1})
    assert_refused(run(data, save(one, data / 'one.params', ['dog'])), 'know 1 classes')
    broken = drawn_net('mask_rcnn_fpn_resnest50', **NETWORK)
    param = next(iter(structural_parameters(broken).values()))
    param.set_data(param.data() * np.nan)
    assert_refused(run(data, save(broken, data / 'broken.params')), 'finite')
    (data / 'val2017/0003.png').unlink()
    assert_refused(run(data, weights), '0003.png', 'missing')


@pytest.mark.slow
@needs_horovod
def test_two_ranks_have_the_figures_of_one(data, weights):
    """What only real ranks show: detections of several lengths are gathered over Horovod."""
    assert run(data, weights, '--json', data / '1.json').returncode == 0
    result = command(*horovodrun(2), sys.executable, '-W', 'ignore', ROOT / 'scripts/gluon/verify_detection.py',
                     '--no-cuda', '--data-dir', data, '--resume', weights, '--json', data / '2.json', '-j', 0)
    assert result.returncode == 0, result.stdout + result.stderr
    one, two = (read_json(data / name) for name in ('1.json', '2.json'))
    for name in ('box', 'mask'):
        assert one[name] == pytest.approx(two[name], abs=0.5)
    assert two['box']['ar_100'] > 0
