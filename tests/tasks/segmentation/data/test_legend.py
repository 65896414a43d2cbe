"""Names, colours and values of the known data sets, and of one's own."""
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.tasks.segmentation.data import IGNORED, colour_map, known_legend, numbered_legend
from resnest.gluon.tasks.segmentation.data.legend import KNOWN, read_names


def test_the_values_of_ade20k():
    """0 is ignored, 1 to 150 are the classes; nothing else can be in a map."""
    legend = known_legend('ade20k')
    labels, beyond = legend.labels(np.arange(151))
    assert (labels == np.arange(-1, 150)).all()
    assert (beyond, IGNORED) == (None, -1)
    assert legend.labels(np.array([[3, 151], [255, 200]]))[1] == 151
    assert [legend.names[each] for each in (0, 1, 2, 12, 149)] == ['wall', 'building', 'sky', 'person', 'flag']
    assert legend.colours[[0, 149]].tolist() == [[120, 120, 120], [92, 0, 255]]


def test_the_ids_of_cityscapes():
    legend = known_legend('cityscapes')
    labels, beyond = legend.labels(np.array([*range(34), 255]))
    ids = {7: 'road', 8: 'sidewalk', 11: 'building', 12: 'wall', 13: 'fence', 17: 'pole', 19: 'traffic light',
           20: 'traffic sign', 21: 'vegetation', 22: 'terrain', 23: 'sky', 24: 'person', 25: 'rider', 26: 'car',
           27: 'truck', 28: 'bus', 31: 'train', 32: 'motorcycle', 33: 'bicycle'}
    assert beyond is None
    assert {value: legend.names[label] for value, label in enumerate(labels) if label != IGNORED} == ids
    assert legend.labels(np.array([34]))[1] == 34
    assert legend.colours[[0, 10, 18]].tolist() == [[128, 64, 128], [70, 130, 180], [119, 11, 32]]


def test_pascal_voc_and_its_colour_map():
    """The file has the colours of the formula, which the development kit publishes: a naive loop over its bits."""
    legend = known_legend('pascal_voc')
    for label, colour in enumerate(colour_map(256)):
        wanted, rest = [0, 0, 0], label
        for place in range(7, -1, -1):
            for channel in range(3):
                wanted[channel] |= ((rest >> channel) & 1) << place
            rest >>= 3
        assert colour.tolist() == wanted
    assert (legend.colours == colour_map(21)).all()
    labels, beyond = legend.labels(np.array([0, 20, 255]))
    assert (labels.tolist(), beyond, legend.labels(np.array([21]))[1]) == ([0, 20, -1], None, 21)
    assert (legend.names[0], legend.names[15]) == ('background', 'person')


@pytest.mark.parametrize('name', KNOWN)
def test_the_names_differ(name):
    legend = known_legend(name)
    assert len({*legend.names}) == len(legend) == len(legend.colours) == {'ade20k': 150, 'cityscapes': 19,
                                                                          'pascal_voc': 21}[name]


def test_classes_of_ones_own(tmp_path):
    few, many = numbered_legend(['ground', 'tree']), numbered_legend(300)
    assert few.labels(np.array([0, 1, 255]))[0].tolist() == [0, 1, -1]
    assert few.labels(np.array([2]))[1] == 2
    assert many.labels(np.array([255, 299, 65535]))[0].tolist() == [255, 299, -1]
    (tmp_path / 'names.txt').write_text('ground\r\n tree \n')
    assert read_names(tmp_path / 'names.txt') == few.names


@pytest.mark.parametrize('text, wanted', [('', '10000 classes'), ('one', 'got 1'), ('a\nb\na', 'called a'),
                                          ('a\n\nb', 'line 2'), ('a\nb\x1b[2J', 'line 2')])
def test_names_that_are_none(text, wanted, tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text(text)
    with pytest.raises(InputError, match=wanted) as refused:
        read_names(path)
    assert str(refused.value).startswith(str(path))
