"""The recipe of segmentation: the paper's settings, and what contradicts itself."""
import pytest

from resnest.gluon.tasks.segmentation import SEGMENTATION
from resnest.gluon.tasks.segmentation.config import SegmentationConfig
from resnest.gluon.training import parse, recipe

from ...conftest import ROOT


@pytest.mark.parametrize('name', ['deeplab_resnest50_ade', 'deeplab_resnest101_ade', 'deeplab_resnest50_cityscapes',
                                  'deeplab_resnest101_cityscapes'])
def test_recipes_are_the_papers(name):
    path = ROOT / f'configs/{name}.yaml'
    config, _ = parse(SegmentationConfig, '', ['--config', str(path)])
    derived = recipe.resolved(config, 8)['derived']
    assert (derived['global_batch_size'], derived['warmup_epochs']) == (16, 0)
    assert derived['learning_rate'] == pytest.approx(0.1)
    assert (config.lr_schedule, config.poly_power, config.head_lr_factor, config.aux_weight) == ('poly', 0.9, 10, 0.5)
    assert config.sync_bn
    assert f'--config configs/{name}.yaml' in path.read_text().splitlines()[0]
    if name in SEGMENTATION:
        assert f'Published mIoU: {SEGMENTATION[name].miou} %' in path.read_text()


def test_the_rate_follows_the_batch():
    assert SegmentationConfig(batch_size=4).share_lr == pytest.approx(0.025)
    assert SegmentationConfig(batch_size=4, lr=0.3).share_lr == 0.3
    assert SegmentationConfig(batch_size=4, optimizer='adam').share_lr == pytest.approx(0.001 * 4 / 1024)
