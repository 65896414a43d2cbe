"""The rows: names and shapes of the published files, figures, and what may be overridden."""
import dataclasses
import hashlib
import re

import mxnet as mx
import numpy as np
import pytest

from resnest.commands import models
from resnest.errors import InputError
from resnest.gluon import list_models
from resnest.gluon.models import override
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import DETECTION, DetectionSpec, describing, get_model, making
from resnest.gluon.tasks.detection.finding import network_input
from resnest.gluon.tasks.detection.learning.batching import Together
from resnest.gluon.tasks.detection.weights.detectron2_files import detectron2_names, from_detectron2, to_detectron2
from tests.conftest import ROOT, assert_refused, read_json, run_here

PUBLISHED = read_json(ROOT / 'tests' / 'expected' / 'detectors.json')


def small(**kwargs):
    return get_model('mask_cascade_rcnn_fpn_resnest50', base='resnest14', classes=3, box_dense=0, **kwargs)


@pytest.mark.parametrize('name', PUBLISHED)
def test_names_and_shapes_of_the_published_file(name):
    net, published = get_model(name), PUBLISHED[name]
    names, params = detectron2_names(net), structural_parameters(net)
    lines = sorted(f'{theirs} {",".join(map(str, params[ours].shape))}' for ours, theirs in names.items())
    assert len(lines) == published['arrays']
    assert hashlib.sha256('\n'.join(lines).encode()).hexdigest() == published['sha256']


def test_rows_are_those_that_are_published():
    assert len(DETECTION) == len(PUBLISHED) + 3
    assert [*PUBLISHED] == sorted(name for name, spec in DETECTION.items() if spec.archive)
    for name, published in PUBLISHED.items():
        spec, figures = DETECTION[name], published['published']
        figures = [figures.get(key) for key in ('bbox', 'mask', 'pq')]
        assert f'{spec.archive}.pth' == published['file']
        assert [spec.box_ap, spec.mask_ap, spec.panoptic_quality] == figures
        assert spec.channel_order == published['format']
        np.testing.assert_allclose(np.array(spec.mean) * 255, published['mean'])
        np.testing.assert_allclose(np.array(spec.std) * 255, published['std'])
        assert spec.stride_first == published['stride_in_1x1']


def test_what_is_published_goes_where_it_is_not_true_any_more():
    row = DETECTION['mask_rcnn_fpn_resnest50']
    fewer = override(row, {'proposals': 100, 'mean': [0.5, 0.5, 0.5]})
    assert (fewer.archive, fewer.box_ap, fewer.mask_ap) == (row.archive, None, None)
    assert override(row, {'box_dense': 2}).archive is None
    assert override(row, {'classes': 80}) == row
    assert get_model(row.name, radix=1).spec.archive is None


@pytest.mark.parametrize('values, message', [
    ({'proposal': 3}, "a network has no 'proposal'; did you mean 'proposals'"), ({'proposals': 0}, 'at least 1'),
    ({'ious': [0.5, 0.6], 'agnostic': False}, 'agnostic'), ({'ious': []}, 'ious must be 1 to 10 numbers'),
    ({'ious': [2.0]}, 'at most 1'), ({'anchor_sizes': [32, 64]}, 'anchor_sizes must be 5'),
    ({'anchor_ratios': ['wide']}, 'a list of numbers'), ({'deformable_stages': [5]}, 'deformable_stages'),
    ({'least_score': float('nan')}, 'least_score'), ({'classes': 2.5}, 'a whole number'),
    ({'base': 'resnest51'}, 'resnest50'), ({'base': 'resnet50', 'radix': 2}, "a network has no 'radix'"),
    ({'radix': -1}, 'radix'), ({'base': 'resnet50', 'deformable_stages': [2]}, 'has none')])
def test_bad_values(values, message):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        get_model('cascade_rcnn_fpn_resnest50', **values)
    assert '\n' not in str(raised.value)


def test_an_unknown_name():
    with pytest.raises(InputError, match='mask_rcnn_fpn_resnest50'):
        get_model('mask_rcnn_fpn_resnest5')


@pytest.fixture(scope='module')
def weights():
    """A small network, and random arrays under Detectron2's names."""
    net, rng = small(), np.random.default_rng(0)
    params = structural_parameters(net)
    return net, {theirs: rng.normal(size=params[ours].shape).astype('float32')
                 for ours, theirs in detectron2_names(net).items()}


def test_there_and_back(weights):
    net, arrays = weights
    beside = {'pixel_mean': np.zeros((3, 1, 1)), 'backbone.fpn_output2.norm.num_batches_tracked': np.zeros(()),
              'proposal_generator.anchor_generator.cell_anchors.0': np.zeros((3, 4))}
    found = from_detectron2({**arrays, **beside}, net)
    assert found.keys() == structural_parameters(net).keys()
    back = to_detectron2(found, net)
    assert all((back[name] == array).all() for name, array in arrays.items())


def test_baselines_take_bgr():
    """Their arrays stay as they are; a picture is turned on its way into the network, in training too."""
    net = get_model('faster_rcnn_fpn_resnet50', box_dense=0)
    net.initialize()
    params, name = structural_parameters(net), 'backbone.bottom_up.stem.conv1.weight'
    weight = np.arange(64 * 3 * 49, dtype='float32').reshape(64, 3, 7, 7)
    arrays = {theirs: np.zeros(params[ours].shape, 'f4') for ours, theirs in detectron2_names(net).items()}
    found = from_detectron2({**arrays, name: weight}, net)
    np.testing.assert_array_equal(found['backbone.conv1.weight'], weight)
    np.testing.assert_array_equal(to_detectron2(found, net)[name], weight)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype('uint8')
    wanted = pixels[:, :, ::-1].transpose(2, 0, 1) - np.array([103.53, 116.28, 123.675]).reshape(3, 1, 1)
    for x in (network_input(net, pixels, 64), Together(net, mx.cpu())([pixels])[0]):
        np.testing.assert_allclose(x.asnumpy(), wanted[None], atol=1e-3)


def test_what_does_not_fit_is_listed(weights):
    net, arrays = weights
    name = 'roi_heads.box_predictor.1.cls_score.bias'
    broken = {key: value for key, value in arrays.items() if key != 'proposal_generator.rpn_head.conv.bias'}
    with pytest.raises(InputError, match='^x.pth: not of mask_cascade.*missing: proposal_generator.rpn_head.conv.bias; '
                                         rf'left over: more; of another shape: {name} \(5,\) instead of \(4,\)$'):
        from_detectron2({**broken, name: np.zeros(5), 'more': np.zeros(3)}, net, 'x.pth')


def test_rows_can_be_replaced():
    row = DETECTION['cascade_rcnn_fpn_resnest50']
    assert dataclasses.replace(row, detections=5).box_ap is None


def test_the_document_lists_every_field_with_the_settings_of_detectron2():
    document = (ROOT / 'docs' / 'detection.md').read_text()
    rows = [line.split('|')[1] for line in document.splitlines() if line.startswith('| `')]
    missing = {name for name in DetectionSpec.options() if not any(f'`{name}`' in row for row in rows)}
    assert not missing
    for setting in ('INSTANCES_CONFIDENCE_THRESH', 'STUFF_AREA_LIMIT', 'POST_NMS_TOPK_TEST', 'SCORE_THRESH_TEST'):
        assert setting in document


def test_the_command_lists_a_task_with_its_published_figures():
    result = run_here(models.main, 'models', '*200_3x', '--task', 'detection')
    assert result.returncode == 0, result.stderr
    head, *lines = (line.split() for line in result.stdout.splitlines())
    assert head == ['model', 'base', 'box_ap', 'mask_ap', 'panoptic_quality']
    assert ['mask_cascade_rcnn_fpn_resnest200_3x', 'resnest200', '50.54', '44.21', '-'] in lines
    assert [name for name, *_ in lines] == list_models('*200_3x', task='detection')
    assert_refused(run_here(models.main, 'models', 'none', '--task', 'segmentation'), '--task segmentation lists all')


@pytest.mark.parametrize('make', [making.get_model, describing.know])
def test_a_classifier_is_no_detector(make):
    for name, wanted in (('resnest14', "'resnest14' is a classifier, not a network of detection"),
                         ('mask', "there is no model 'mask'")):
        with pytest.raises(InputError, match=wanted):
            make(name)
