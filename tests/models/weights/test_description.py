"""Descriptions of weights: written and read back, the pair that they make with a file, and what is refused."""
import dataclasses
import hashlib
import json

import pytest

from resnest.errors import InputError
from resnest.gluon.data.images import rules
from resnest.gluon.models import VARIANTS, override
from resnest.gluon.models.weights import description
from resnest.gluon.models.weights.description import (
    Description,
    changed_options,
    from_mapping,
    from_text,
    read_description,
    to_mapping,
    to_text,
    write_description,
)
from resnest.gluon.tasks.classification import settling

WHOLE = Description(
    'resnest50', 2, {'radix': 4, 'crop_size': 64, 'blocks': [1, 1, 1, 1]}, ['n1', 'n2'], ['cat', ''], 'upright',
    {'val_fraction': 0.1, 'seed': 3}, {'epoch': 2, 'top1': 50.0}, {'mxnet': '1.9.1', 'horovod': None}, own={'any': [1]})


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / 'best.params'
    path.write_bytes(b'some weights')
    return path


@pytest.mark.parametrize('described', [WHOLE, Description('resnest14', 10)], ids=['whole', 'least'])
def test_what_is_written_is_read(weights, described):
    write_description(weights, described)
    found = read_description(weights)
    assert found == dataclasses.replace(described, sha256=hashlib.sha256(b'some weights').hexdigest())
    assert {path.name for path in weights.parent.iterdir()} == {'best.params', 'best.json'}
    assert from_mapping(to_mapping(described), 'x') == described
    assert found.spec == override(VARIANTS[described.model], described.options)


def test_the_rules_of_decoding_are_those_of_the_data():
    """Named in two rooms, of which neither may import the other, and told in a third."""
    assert description.DECODINGS == rules.DECODINGS == tuple(settling.PIXELS)


def test_options_are_what_differs_from_the_row():
    for options in ({}, {'blocks': (1, 2, 1, 1)}, {'crop_size': 32, 'interpolation': 'bicubic', 'avd_first': True}):
        found = changed_options(override(VARIANTS['resnest50'], options))
        assert found == json.loads(json.dumps(options))
        assert Description('resnest50', 3, found).spec == override(VARIANTS['resnest50'], options)
    assert changed_options(dataclasses.replace(VARIANTS['resnest50'], name='mine')) is None


def test_a_description_of_other_weights_is_refused(weights):
    """As a run leaves it that was killed between the two; who copies the weights alone has bare ones."""
    write_description(weights, WHOLE)
    weights.write_bytes(b'later weights')
    with pytest.raises(InputError, match=r'best.json: describes other weights than those of best.params .*remove'):
        read_description(weights)
    weights.with_suffix('.json').unlink()
    assert read_description(weights) is None
    assert read_description(weights.with_name('none.params')) is None


@pytest.mark.parametrize('text', ['[]', '{}', '{"format": 1}', '{"classes": ["a", "b"], "splits": {}}', '7',
                                  'text', '{"loss": NaN}', '{"epoch": 1}\n{"epoch": 2}', '\x00', 'x' * (17 << 20)],
                         ids=range(10))
def test_what_is_no_description_is_passed_over(weights, text):
    weights.with_suffix('.json').write_text(text)
    assert read_description(weights) is None


@pytest.mark.parametrize('changed, wanted', [
    ({'format': 'resnest-weights-2'}, 'format is resnest-weights-2'),
    ({'classes': None}, 'classes must be'), ({'classes': 2.0}, 'classes must be'), ({'classes': 3}, '2 for 3 classes'),
    ({'names': ['a']}, 'names: 1 for 2'), ({'names': ['a', 'a']}, 'twice'), ({'names': ['a', '']}, 'names must be'),
    ({'names': 'ab'}, 'names must be'), ({'words': ['a\n', 'b']}, 'words must be'),
    ({'names': [1, 2]}, 'names must be'),
    ({'model': 'resnest51'}, "no model 'resnest51'"), ({'model': [1]}, 'no model'),
    ({'options': {'depth': 1}}, "no 'depth'"), ({'options': {'radix': 'a'}}, 'whole number'),
    ({'options': 3}, 'mapping'),
    ({'decoding': 'sideways'}, 'upright or stored'), ({'held_out': {'val_fraction': 2, 'seed': 0}}, 'held_out'),
    ({'held_out': {'val_fraction': 0.5}}, 'held_out'), ({'sha256': 'abc'}, '64'), ({'task': ''}, 'task'),
    ({'figures': [1]}, 'mapping'), ({'extra\n': 1}, 'in no description')], ids=str)
def test_what_cannot_be_is_one_line(weights, changed, wanted):
    weights.with_suffix('.json').write_text(json.dumps({**to_mapping(WHOLE), **changed}))
    with pytest.raises(InputError, match=wanted) as caught:
        read_description(weights)
    assert str(weights.with_suffix('.json')) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize('text', ['', '{', to_text(WHOLE, indent=1)[:40], to_text(WHOLE).replace('3', 'NaN'),
                                  to_text(WHOLE) + ' ' * (17 << 20)], ids=['empty', 'begun', 'cut', 'nan', 'long'])
def test_damaged_ones_say_what_to_do(weights, text):
    weights.with_suffix('.json').write_text(text)
    with pytest.raises(InputError, match=r'best.json: .*copy best.params and best.json together again'):
        read_description(weights)
    with pytest.raises(InputError, match='here'):
        from_text(text, 'here')
