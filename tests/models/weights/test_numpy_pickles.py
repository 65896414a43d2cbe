"""Pickles of NumPy arrays: arrays come out of them, and nothing else is run."""
import pickle

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.models.weights.tensor_files import read_tensors


@pytest.mark.parametrize('protocol', range(2, 6))
def test_pickles_of_arrays(tmp_path, protocol):
    wanted = {'rows': np.arange(12, dtype='f4').reshape(3, 4), 'columns': np.asfortranarray(np.ones((2, 3)) / 3),
              'number': np.array(3, 'f4'), 'half': np.ones(3, 'f2'), 'none': np.zeros((0, 2), 'f4'),
              'turned': np.arange(300, dtype='>i4')}
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps({'model': wanted, 'score': np.float64(0.5)}, protocol))
    found = read_tensors(tmp_path / 'a.pkl')
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize('wrap', [
    lambda arrays: {**arrays, 'matching_heuristics': True, '__author__': 'me'},
    lambda arrays: {'model': {**arrays, 'norm.num_batches_tracked': np.int64(3)}},
    lambda arrays: {'model': {**arrays, 'norm.num_batches_tracked': 3}, 'iteration': 90_000},
    lambda arrays: {'model': {f'module.{name}': array for name, array in arrays.items()}}],
    ids=['flat', 'scalar', 'number', 'ranks'])
def test_pickles_with_more_than_arrays(tmp_path, wrap):
    wanted = {'conv.weight': np.ones((2, 3), 'f4'), 'norm.bias': np.arange(3, dtype='f4')}
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(wrap(wanted), 4))
    found = read_tensors(tmp_path / 'a.pkl')
    assert found.keys() == wanted.keys()
    assert all((found[name] == array).all() for name, array in wanted.items())


class Evil:
    def __reduce__(self):
        return (print, ('owned',))


@pytest.mark.parametrize('content, message', [
    (Evil(), 'holds builtins.print, which is not a tensor'), ({'a': np.array([None])}, 'an array of O8'),
    ({'a': [1]}, 'a pickle, but not one of torch.save, nor of arrays'), ({}, 'nor of arrays'),
    ({'a': np.zeros(3, 'c8')}, 'an array of c8')])
def test_pickles_of_other_things(tmp_path, content, message, capsys):
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content, 4))
    with pytest.raises(InputError, match=f'a.pkl: .*{message}'):
        read_tensors(tmp_path / 'a.pkl')
    data = pickle.dumps({'a': np.zeros(500, 'f4')}, 4)
    for damaged in (data[:-100], data[:300] + b'?' * 20 + data[320:100]):
        (tmp_path / 'a.pkl').write_bytes(damaged)
        with pytest.raises(InputError, match='a.pkl: truncated or damaged'):
            read_tensors(tmp_path / 'a.pkl')
    assert not capsys.readouterr().out
