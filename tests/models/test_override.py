"""Rows of the table with other values, as a recipe gives them."""
import dataclasses
import re

import pytest

from resnest.errors import InputError
from resnest.gluon.models import VARIANTS, VariantSpec, override

SPEC = VARIANTS['resnest50']


def test_values_replace_the_rows():
    found = override(SPEC, {'blocks': [1, 2, 1, 1], 'radix': 0, 'final_drop': 0, 'avd_first': True})
    assert found == dataclasses.replace(SPEC, blocks=(1, 2, 1, 1), radix=0, final_drop=0, avd_first=True,
                                        parameters=None, top1=None, sha1=None)
    assert override(SPEC, {}) == SPEC


@pytest.mark.parametrize('values, lost', [
    ({'radix': 2, 'crop_ratio': 0.875}, []), ({'final_drop': 0.5}, []),
    *(({name: value}, ['top1']) for name, value in (('crop_size', 256), ('interpolation', 'bicubic'),
                                                    ('crop_ratio', 0.9), ('mean', (0.5, 0.5, 0.5)),
                                                    ('std', (1.0, 1.0, 1.0)))),
    *(({name: value}, ['parameters', 'top1', 'gmacs', 'sha1'])
      for name, value in (('blocks', (3, 4, 6, 4)), ('radix', 4), ('cardinality', 2), ('bottleneck_width', 32),
                          ('stem_width', 64), ('avd', False), ('avd_first', False)))])
def test_what_is_published_goes_where_it_is_not_true_any_more(values, lost):
    row = VARIANTS['resnest50_fast_2s1x64d']
    for found in (override(row, values), dataclasses.replace(row, **values),
                  dataclasses.replace(row, name='mine', **values)):
        figures = {name: getattr(found, name) for name in ('parameters', 'top1', 'gmacs', 'sha1')}
        assert figures == {name: None if name in lost else getattr(row, name) for name in figures}
        assert {name: getattr(found, name) for name in values} == values


def test_figures_of_ones_own_stay():
    assert dataclasses.replace(SPEC, radix=4, top1=12.5).top1 == 12.5
    assert VariantSpec('resnest50', (1, 1, 1, 1), top1=12.5, parameters=7).parameters == 7


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
    ({'mean': 0.5}, 'mean of a network is a list of three numbers, got 0.5'),
    ({'mean': [0.5, '0.5', 0.5]}, 'mean of a network is a list of three numbers'),
    ({'mean': [0.5, 0.5]}, 'mean must be three numbers'),
    ({'mean': [123.7, 116.3, 103.5]}, 'mean must be three numbers, red, green and blue, on a scale of 0 to 1, got'),
    ({'std': [0.2, 0, 0.2]}, 'std must be three numbers, red, green and blue, on a scale of 0 to 1 and above 0'),
    ({'std': [float('nan')] * 3}, 'std must be three numbers'),
    ({'std': [10 ** 400] * 3}, 'std must be three numbers'),
])
def test_wrong_values(values, wanted):
    with pytest.raises(InputError, match=re.escape(wanted)):
        override(SPEC, values)
    if values.keys() <= {field.name for field in dataclasses.fields(SPEC)} - {'top1'}:
        with pytest.raises(InputError, match=re.escape(wanted)):
            dataclasses.replace(SPEC, **values)
