"""What a run shows and writes."""
import io
import json
import os
import re
import struct
import sys

import pytest
from PIL import Image

from resnest.errors import MissingPackage
from resnest.gluon.tasks.classification import Classification
from resnest.gluon.training.reporting import monitor as module
from resnest.gluon.training.reporting import tensorboard
from resnest.gluon.training.reporting.curves import draw_curves
from resnest.gluon.training.reporting.figures import Figure, Figures
from resnest.gluon.training.reporting.tensorboard import EventWriter


def Monitor(folder, figures=Classification.figures, **settings):
    return module.Monitor(folder, figures, **settings)


def row(epoch, **extra):
    return {'epoch': epoch, 'loss': 1 / epoch, 'val_loss': 2 / epoch, 'lr': 0.1, 'train_top1': 50.0,
            'images_per_second': 200.0, 'waiting': 0.02, 'top1': 40.0 + epoch, 'top5': 90.0,
            'time': 1000.0 + epoch, **extra}


def run(monitor, epochs, first=0, total=5):
    for epoch in range(first, epochs):
        monitor.begin(epoch, total, 2)
        monitor.advance(2)
        monitor.end(row(epoch + 1))


def log(folder):
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


def points(folder):
    """(tag, step, value, time) of all event files: each record is length, crc, bytes, crc."""
    events = pytest.importorskip('tensorboardX.proto.event_pb2')
    found = []
    for path in sorted(folder.glob('events.out.tfevents.*')):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from('<Q', data, place)
            event = events.Event.FromString(data[place + 12:place + 12 + length])
            found += [(value.tag, event.step, value.simple_value, event.wall_time) for value in event.summary.value]
            place += length + 16
        assert place == len(data)
    return found


def test_one_line_an_epoch_where_there_is_no_terminal(tmp_path, capsys):
    run(Monitor(tmp_path), 3)
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if not line.startswith('note')]
    assert [line[:9] for line in lines] == ['epoch   1', 'epoch   2', 'epoch   3']
    assert err == ''
    assert lines[1] == ('epoch   2  loss 0.5000  val loss 1.0000  train 50.00 %  val 42.00 %  lr 0.1  200 images/s  '
                        'waiting 2%  left 00:00')
    assert [each['epoch'] for each in log(tmp_path)] == [1, 2, 3]


class Clock:
    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def time(self):
        return self.now


def test_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    """From the middle of an epoch: 6 of 10 steps are left in this epoch and 20 in the two to come."""
    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    monkeypatch.setattr(module.shutil, 'get_terminal_size', lambda: os.terminal_size((80, 24)))
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, 'stderr', stream)
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True)
    monitor = Monitor(tmp_path, seconds=100.0)
    monitor.begin(7, 10, 10, done=4)
    clock.now = 8.0
    monitor.advance(2, images=64, waited=2.0, loss='1.500')
    monitor._bar.refresh()
    shown = stream.getvalue().split('\r')[-1]
    assert re.search(r'^epoch 8/10  60%.*6/10', shown)
    # 2 steps took 8 s: 24 steps are left.
    assert shown.endswith(' 6/10, left 01:36  loss 1.500  8 images/s  waiting 25%')
    clock.now = 10.0
    monitor.advance(4)
    monitor.close()
    assert stream.getvalue().endswith('\r' + ' ' * len(shown) + '\r')
    monitor.end(row(8))
    assert capsys.readouterr().out.splitlines() == [       # 20 steps at 10 s for 6
        'epoch   8  loss 0.1250  val loss 0.2500  train 50.00 %  val 48.00 %  lr 0.1',
        '           200 images/s  waiting 2%  left 00:33']
    assert monitor.seconds() == 110.0


def test_other_ranks_write_nothing(tmp_path, capsys):
    monitor = Monitor(tmp_path / 'new', active=False)
    run(monitor, 2)
    monitor.curves()
    monitor.summary({'top1': 1.0}, 2, 5)
    assert not (tmp_path / 'new').exists()
    assert capsys.readouterr() == ('', '')


def test_curves_and_summary(tmp_path):
    monitor = Monitor(tmp_path / 'new')
    run(monitor, 3)
    monitor.curves()
    with Image.open(tmp_path / 'new/curves.png') as image:
        assert min(image.size) > 300
    monitor.summary({'epoch': 3, 'top1': 43.0}, 5, 5, ranks=2)
    summary = json.loads((tmp_path / 'new/summary.json').read_text())
    assert (summary['top1'], summary['epochs'], summary['ranks']) == (43.0, 5, 2)
    assert summary['seconds'] >= 0
    assert not list((tmp_path / 'new').glob('*.part'))


def test_curves_mark_the_epoch_of_the_best_weights(tmp_path, monkeypatch):
    """Of epochs with the same accuracy, the one with the least loss on the validation data."""
    matplotlib = pytest.importorskip('matplotlib')
    monkeypatch.setitem(matplotlib.rcParams, 'svg.fonttype', 'none')        # text as text
    rows = [row(1, top1=50.0), row(2, top1=60.0, val_loss=0.5), row(3, top1=60.0, val_loss=0.4),
            row(4, top1=60.0, val_loss=0.4), row(5, top1=float('nan'))]
    draw_curves(rows, tmp_path / 'x.svg', Classification.figures)
    assert re.findall('best: .* after epoch .', (tmp_path / 'x.svg').read_text()) == ['best: 60.00 % after epoch 3']
    assert Classification.figures.best_of(rows[4:]) is None


def test_events_hold_each_epoch_once_after_a_resume(tmp_path):
    pytest.importorskip('tensorboardX')
    run(Monitor(tmp_path), 4)                       # killed; the checkpoint knows two epochs
    run(Monitor(tmp_path, rows=[row(1), row(2)]), 5, first=2)
    found = points(tmp_path / 'tensorboard')
    assert len(found) == len({point[:2] for point in found}) == 5 * 8
    for epoch in range(1, 6):
        assert ('top1/validation', epoch, 40.0 + epoch, 1000.0 + epoch) in found
        assert ('loss/train', epoch, pytest.approx(1 / epoch), 1000.0 + epoch) in found
    assert [each['epoch'] for each in log(tmp_path)] == [1, 2, 3, 4, 5]


def test_events_are_whole_again_after_an_error(tmp_path, monkeypatch, capsys):
    pytest.importorskip('tensorboardX')
    monitor = Monitor(tmp_path)
    run(monitor, 2)
    with monkeypatch.context() as patch:
        patch.setattr(EventWriter, 'write', lambda self, rows: os.stat('/nothing'))
        run(monitor, 3, first=2)
    assert 'tensorboard was not written: FileNotFoundError' in capsys.readouterr().out
    run(monitor, 4, first=3)
    assert sorted(point[1] for point in points(tmp_path / 'tensorboard') if point[0] == 'loss/train') == [1, 2, 3, 4]


def test_a_missing_package_is_told_once(tmp_path, monkeypatch, capsys):
    def missing(folder, figures):
        raise MissingPackage('tensorboardX is not installed: pip install tensorboardX')
    monkeypatch.setattr(module, 'EventWriter', missing)
    run(Monitor(tmp_path), 3)
    assert capsys.readouterr().out.count("note: no tensorboard/: tensorboardX is not installed") == 1
    assert len(log(tmp_path)) == 3


def test_training_goes_on_when_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    def full(path, data):
        raise OSError(28, 'No space left on device')
    monitor = Monitor(tmp_path)
    run(monitor, 1)
    with monkeypatch.context() as patch:
        patch.setattr(module, 'replace_file', full)
        run(monitor, 2, first=1)
        monitor.summary({'epoch': 1, 'top1': 1.0}, 2, 5)
    out = capsys.readouterr().out
    assert 'log.jsonl was not written: OSError: [Errno 28] No space left' in out
    assert 'summary.json was not written' in out
    assert len(log(tmp_path)) == 1
    run(monitor, 3, first=2)
    assert [each['epoch'] for each in log(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize('best, epoch, wanted', [
    ({'epoch': 3, 'top1': 43.21}, 5, '5 epochs in 01:40; best: top1 43.21 % after epoch 3, {}/best.params'),
    ({'epoch': 1, 'top1': 4.0}, 4, 'stopped early after epoch 4 of 5: --patience'),
    (None, 5, '5 epochs in 01:40; no evaluation found a top1, and there is no best.params')])
def test_the_last_line(tmp_path, capsys, monkeypatch, best, epoch, wanted):
    monkeypatch.setattr(module, 'time', Clock())
    Monitor(tmp_path, seconds=100.0).summary(best, epoch, 5)
    assert wanted.format(tmp_path) in capsys.readouterr().out.splitlines()
    assert json.loads((tmp_path / 'summary.json').read_text())['seconds'] == 100


def test_one_epoch_is_one(tmp_path, capsys):
    Monitor(tmp_path, seconds=100.0).summary({'epoch': 1, 'top1': 1.0}, 1, 1)
    assert capsys.readouterr().out.startswith('1 epoch in 01:40; best: ')


def test_what_tensorboard_needs_is_named(tmp_path, monkeypatch):
    def missing(*_):
        raise MissingPackage('x')
    monkeypatch.setattr(tensorboard, 'import_extra', missing)
    with pytest.raises(MissingPackage, match=f'pip install tensorboardX tensorboard, then tensorboard --logdir '
                                             f'{tmp_path}$'):
        EventWriter(tmp_path / 'tensorboard', Classification.figures)


def test_each_figure_has_its_digits(tmp_path, capsys):
    figures = Figures((Figure('top1', 'top1', 'val', digits=4, best='highest'),
                       Figure('top5', 'top5', 'five', unit='%', digits=0)), best='top1')
    run(Monitor(tmp_path, figures), 1)
    assert '  val 41.0000  five 90 %  lr 0.1  200 images/s' in capsys.readouterr().out
