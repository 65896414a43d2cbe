"""What a recipe comes to before training begins."""
import re

import pytest

from resnest.errors import InputError
from resnest.gluon.models import VARIANTS, ResNet
from resnest.gluon.models.weights.description import Description
from resnest.gluon.tasks.classification import ClassificationConfig
from resnest.gluon.tasks.classification.opening import settle_images

from ...conftest import assert_refused, script_here

OWN = VARIANTS['resnest101']


@pytest.mark.parametrize('given, wanted', [
    ({}, (256, 0.875, 'bilinear', OWN.mean, OWN.std)),
    ({'input_size': 300}, (300, 0.875, 'bicubic', OWN.mean, OWN.std)),      # as the size has it
    ({'input_size': 300, 'interpolation': 'bilinear'}, (300, 0.875, 'bilinear', OWN.mean, OWN.std)),
    ({'interpolation': 'bicubic', 'crop_ratio': 1.0}, (256, 1.0, 'bicubic', OWN.mean, OWN.std)),
    ({'mean': [0.5, 0.4, 0.3], 'std': [1, 0.2, 0.3]}, (256, 0.875, 'bilinear', (0.5, 0.4, 0.3), (1.0, 0.2, 0.3))),
    ({'model_options': {'mean': [0, 0, 0], 'std': [1, 1, 1], 'crop_size': 96}, 'std': [0.5, 0.5, 0.5]},
     (96, 0.875, 'bilinear', (0, 0, 0), (0.5, 0.5, 0.5)))])
def test_the_network_says_how_its_images_were(given, wanted):
    """What is given, the option before --model-options, otherwise the row's own; the recipe says it too."""
    config, spec = settle_images(ClassificationConfig(model='resnest101', **given))
    names = ('crop_ratio', 'interpolation', 'mean', 'std')
    assert (spec.crop_size, *(getattr(spec, name) for name in names)) == wanted
    assert (config.input_size, config.crop_ratio, config.interpolation, tuple(config.mean), tuple(config.std)) == wanted
    assert settle_images(config) == (config, spec)
    assert (spec.sha1, spec.blocks) == (OWN.sha1, OWN.blocks)       # the same weights
    assert ResNet(spec, classes=2).spec == spec


@pytest.mark.parametrize('key, wanted', [
    ('radx', "; did you mean 'radix'?"), ('in_channels', '; there are blocks, attention, radix, '),
    ('a\nb', '; there are')])
def test_what_no_row_has_is_refused(key, wanted):
    config = ClassificationConfig(model_options={key: 4})
    for description in (None, Description('resnest14', 3)):
        with pytest.raises(InputError, match='--model-options: a row of the table has no .*' + re.escape(wanted)):
            settle_images(config, description)


def test_what_no_row_has_is_refused_by_the_command():
    assert_refused(script_here('gluon/train.py', '--model-options', 'radx=4', '--print-config'),
                   "did you mean 'radix'?")


@pytest.mark.parametrize('words, wanted', [(('--cuda',), 'MXNet finds no GPU here; resnest env tells'),
                                           (('--input-size', 8), '--input-size must be at least 17, got 8')])
def test_what_needs_no_data_is_refused_before_they_are_looked_for(words, wanted):
    assert_refused(script_here('gluon/train.py', '--data-dir', '/nothing/here', *words), wanted)
