"""The recipes of detection: the settings that the published networks were trained by."""
import json

import pytest

from resnest.gluon.distributed import Job
from resnest.gluon.models.weights.description import Description, write_description
from resnest.gluon.tasks.detection import DETECTION, DetectionConfig
from resnest.gluon.tasks.detection.starting import settle_network
from resnest.gluon.training import parse, recipe

from ...conftest import ROOT

PUBLISHED = json.loads((ROOT / 'tests' / 'expected' / 'detectors.json').read_text())
NAMES = sorted(name for name in PUBLISHED if 'resnest' in name)
LONG = {'mask_cascade_rcnn_fpn_resnest200_3x': [640, 864], 'mask_cascade_rcnn_fpn_resnest200_dcn_3x': [640, 864],
        'panoptic_cascade_rcnn_fpn_resnest200_3x': [400, 1000]}
STEPS_PER_EPOCH = 117266 // 16      # COCO's pictures with objects


@pytest.mark.parametrize('name', NAMES)
def test_recipes_are_those_of_the_published_networks(name):
    path = ROOT / f'configs/{name}.yaml'
    config, _ = parse(DetectionConfig, '', ['--config', str(path)])
    long, spec = name in LONG, DETECTION[name]
    derived = recipe.resolved(config, 8, STEPS_PER_EPOCH)['derived']
    assert (derived['global_batch_size'], derived['learning_rate']) == (16, pytest.approx(0.02))
    assert (derived['steps'], derived['warmup_steps']) == (270_000 if long else 90_000, 1000)
    assert config.milestone_steps == ([240_000, 255_000] if long else [60_000, 80_000])
    assert (config.lr_schedule, config.lr_decay, config.warmup_factor, config.decay) == ('step', 0.1, 0.001, 1e-4)
    assert (config.model, config.freeze, config.sync_bn, config.precise_bn) == (name, ['stem', 'layer1'], True, 200)
    sides = LONG.get(name) or ([*range(640, 801, 32)] if spec.mask_convolutions else None)      # None: 640 to 800
    assert (config.short_sides, config.long_side) == (sides, 1440 if long else None)
    assert config.side_choice == ('list' if spec.mask_convolutions and not long else 'range')
    assert config.crop == (0.9 if name.startswith('mask') and long else None)
    assert (config.proposals, config.anchors, config.regions) == (2000 if len(spec.ious) > 1 else 1000, 256, 512)
    text = path.read_text()
    assert f'--config configs/{name}.yaml' in text.splitlines()[0]
    for figure, value in (('box AP', spec.box_ap), ('mask AP', spec.mask_ap), ('PQ', spec.panoptic_quality)):
        assert value is None or f'{figure} {value:g} %' in text


def test_the_rate_follows_the_batch():
    assert DetectionConfig(batch_size=4).share_lr == pytest.approx(0.005)
    assert DetectionConfig(batch_size=4, lr=0.3).share_lr == 0.3
    assert DetectionConfig(batch_size=4, optimizer='adam').share_lr == pytest.approx(0.001 * 4 / 1024)


def test_a_baseline_that_starts_from_a_classifier_takes_rgb(tmp_path):
    (tmp_path / 'best.params').write_bytes(b'')
    write_description(tmp_path / 'best.params', Description('resnest14', 5, {'std': [0.3, 0.3, 0.3]}))
    config = DetectionConfig(model='faster_rcnn_fpn_resnet50', resume_params=str(tmp_path / 'best.params'))
    config, spec, _ = settle_network(config, Job(None))
    assert (spec.base, spec.channel_order, spec.mean, spec.std) == (
        'resnest14', 'RGB', (0.485, 0.456, 0.406), (0.3, 0.3, 0.3))
