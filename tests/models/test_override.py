"""Rows of the table with other values, as a recipe gives them."""
import dataclasses
import re

import pytest

from resnest.errors import InputError
from resnest.gluon.models import VARIANTS, override

SPEC = VARIANTS['resnest50']


def test_values_replace_the_rows():
    found = override(SPEC, {'blocks': [1, 2, 1, 1], 'radix': 0, 'final_drop': 0, 'avd_first': True})
    assert found == dataclasses.replace(SPEC, blocks=(1, 2, 1, 1), radix=0, final_drop=0, avd_first=True)
    assert override(SPEC, {}) == SPEC


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
])
def test_wrong_values(values, wanted):
    with pytest.raises(InputError, match=re.escape(wanted)):
        override(SPEC, values)
