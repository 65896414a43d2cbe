"""Rows of the table with other values, as a recipe gives them."""
import dataclasses
import re

import pytest

from resnest.errors import InputError
from resnest.gluon.models import VARIANTS, override

SPEC = VARIANTS['resnest50']


def test_values_replace_the_rows():
    found = override(SPEC, {'blocks': [1, 2, 1, 1], 'radix': 0, 'final_drop': 0, 'avd_first': True})
    assert found == dataclasses.replace(SPEC, blocks=(1, 2, 1, 1), radix=0, final_drop=0, avd_first=True,
                                        parameters=None, top1=None, sha1=None)
    assert override(SPEC, {}) == SPEC


@pytest.mark.parametrize('values, lost', [
    ({'radix': 2, 'crop_ratio': 0.875}, []), ({'final_drop': 0.5}, []),
    *(({name: value}, ['top1']) for name, value in (('crop_size', 256), ('interpolation', 'bicubic'),
                                                    ('crop_ratio', 0.9))),
    *(({name: value}, ['parameters', 'top1', 'gmacs', 'sha1'])
      for name, value in (('blocks', (3, 4, 6, 4)), ('radix', 4), ('cardinality', 2), ('bottleneck_width', 32),
                          ('stem_width', 64), ('avd', False), ('avd_first', False)))])
def test_what_is_published_goes_where_it_is_not_true_any_more(values, lost):
    row = VARIANTS['resnest50_fast_2s1x64d']
    assert override(row, values) == dataclasses.replace(row, **values, **dict.fromkeys(lost))


@pytest.mark.parametrize('values, wanted', [
    ({'radis': 1}, "no 'radis'; did you mean 'radix'"),
    ({'top1': 99.0}, "no 'top1'"),
    ({3: 1}, "no '3'"),
    ({'radix': 'two'}, "radix of a network is a whole number, got 'two'"),
    ({'radix': True}, 'radix of a network is a whole number, got True'),
    ({'radix': None}, 'radix of a network is a whole number, got None'),
    ({'avd': 1}, 'avd of a network is true or false, got 1'),
    ({'blocks': 3}, 'blocks of a network is a list of whole numbers, got 3'),
    ({'blocks': [1, 1, 1, 'x']}, 'blocks of a network is a list'),
    ({'blocks': [1, 1, 1]}, 'blocks must be four numbers'),
    ({'radix': -1}, 'radix must be at least 0'),
    ({'final_drop': 1}, 'final_drop must be in [0, 1)'),
    ({'final_drop': float('nan')}, 'final_drop must be in [0, 1)'),
    ({'radix': 2 ** 70}, 'radix must be at least 0 and at most 64, got 1180591620717411303424'),
    ({'blocks': [1, 1, 1, 10 ** 9]}, 'blocks must be four numbers of at least 1 and at most 1000'),
    ({'crop_size': 0}, 'crop_size must be at least 1'),
    ({'crop_ratio': 0}, 'crop_ratio must be above 0 and at most 1'),
    ({'interpolation': 'cubic'}, 'interpolation must be bilinear or bicubic, got cubic'),
    ({'interpolation': 3}, 'interpolation of a network is a text'),
])
def test_wrong_values(values, wanted):
    with pytest.raises(InputError, match=re.escape(wanted)):
        override(SPEC, values)
