"""Descriptions beside weights: damaged, with other values, or no files at all."""
import json

from resnest.gluon.models.weights.description import Description, read_description, to_mapping, write_description

from .mutations import damaged_bytes, hostile_file

WHOLE = Description('resnest14', 2, {'radix': 4, 'crop_size': 64}, ['a', 'b'], ['cat', ''], 'upright',
                    {'val_fraction': 0.1, 'seed': 3}, {'top1': 50.0}, {'mxnet': '1.9.1'}, own={'any': [1]})
VALUES = (None, True, -1, 0, 2.5, 1e300, 10 ** 19, '', 'a\n', 'resnest50', [], [1], ['a', 'a'], {}, {'radix': 'x'},
          {'blocks': [10 ** 9] * 4}, {'mean': [1]}, {'val_fraction': 'a', 'seed': 0})


def case(rng, folder):
    path, beside = folder / 'a.params', folder / 'a.json'
    path.write_bytes(b'weights')
    write_description(path, WHOLE)
    kind = rng.integers(3)
    if kind == 0:
        beside.unlink()
        hostile_file(rng, beside)
    elif kind == 1:
        beside.write_bytes(damaged_bytes(rng, beside.read_bytes()))
    else:
        told = {**json.loads(beside.read_text()), **to_mapping(WHOLE)}
        for _ in range(rng.integers(1, 3)):
            told[[*told, 'else'][rng.integers(len(told) + 1)]] = VALUES[rng.integers(len(VALUES))]
        beside.write_text(json.dumps(told))
    found = read_description(path)
    assert found is None or found.spec
