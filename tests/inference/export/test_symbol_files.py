"""The symbol files against the network they were made from, read by mxnet alone."""
import functools

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.inference.export import symbol_files as export
from resnest.gluon.models.weights.description import Description, read_description, write_description

from ...conftest import randomize, read_json, relative_error


def test_symbol_files_give_the_networks_logits(tiny, tmp_path):
    net = randomize(tiny())
    rng = np.random.default_rng(0)
    batches = [(rng.integers(0, 255, (count, 32, 32, 3), dtype=np.uint8), np.zeros(count)) for count in (4, 3)]
    made = export.export_symbol(net, tmp_path / 'x', 32, calibration=batches)
    assert made.report['calibration_images'] == made.report['same_top1'] == 7
    files = (str(tmp_path / name) for name in ('x-symbol.json', 'x-0000.params'))
    alone = mx.gluon.SymbolBlock.imports(next(files), ['data'], next(files))
    x = mx.nd.array(rng.normal(size=(3, 3, 48, 40)))
    assert relative_error(alone(x).asnumpy(), net(x).asnumpy()) < 1e-4


def test_int8_symbol_files_are_calibrated_as_asked(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'optimize', functools.partial(export.optimize, agreement=0))     # no trials
    monkeypatch.setattr('resnest.gluon.inference.int8.ranges.BINS', 801)      # faster
    images = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
    settings = dict(precision='int8', calibration=[(images, np.zeros(8))], calibration_mode='entropy')
    made = export.export_symbol(randomize(tiny()), tmp_path / 'x', 32, **settings)
    assert made.report['calibration_mode'] == 'entropy'
    assert read_json(tmp_path / 'x.json')['report']['calibration_mode'] == 'entropy'


def test_files_with_other_logits_are_refused(tiny, tmp_path, monkeypatch):
    other = export.export_symbol(randomize(tiny(), seed=1), tmp_path / 'other', 32)
    monkeypatch.setattr(export, 'load', lambda prefix: other)
    with pytest.raises(InputError, match='x: the exported files give other logits'):
        export.export_symbol(randomize(tiny()), tmp_path / 'x', 32)
    assert sorted({path.name[0] for path in tmp_path.iterdir()}) == ['o']
    before = (tmp_path / 'other.json').read_bytes()
    monkeypatch.setattr(export, 'load', lambda prefix: lambda x: x)
    with pytest.raises(InputError, match='other: the exported files give other logits'):
        export.export_symbol(randomize(tiny()), tmp_path / 'other', 32)
    assert (tmp_path / 'other.json').read_bytes() == before
    monkeypatch.undo()
    export.load(tmp_path / 'other')


def test_an_empty_calibration_is_refused(tiny, tmp_path):
    with pytest.raises(InputError, match='calibration set is empty'):
        export.export_symbol(randomize(tiny()), tmp_path / 'x', 32, calibration=[])
    assert list(tmp_path.iterdir()) == []


def test_weights_stay_described_where_something_is_exported_beside_them(tiny, tmp_path, monkeypatch):
    """Refused before the work; an earlier export, whose file holds a description too, is replaced."""
    weights = tmp_path / 'best.params'
    weights.write_bytes(b'weights')
    write_description(weights, Description('resnest14', 4))
    net = randomize(tiny())
    monkeypatch.setattr(export, 'optimize', None)
    with pytest.raises(InputError, match='best.json: describes the weights beside it, and is not written over'):
        export.export_symbol(net, tmp_path / 'best', 32)
    monkeypatch.undo()
    made = export.export_symbol(net, tmp_path / 'x', 32)
    with pytest.raises(InputError, match='best.json: describes the weights'):
        made.export(tmp_path / 'best')
    assert read_description(weights).classes == 4
    assert len(list(tmp_path.iterdir())) == 5
    made.description = Description('resnest14', 4)
    for _ in range(2):
        made.export(tmp_path / 'x')
