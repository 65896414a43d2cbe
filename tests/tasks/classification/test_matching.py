"""Classes by their names: folders of some of the classes, in another order, by ImageNet's WNIDs and readable names."""

import pytest

from resnest.errors import InputError
from resnest.gluon.models.weights.description import Description
from resnest.gluon.tasks.classification.matching import match
from resnest.gluon.tasks.classification.names import imagenet_classes

WNIDS, WORDS = (list(part) for part in zip(*imagenet_classes().items()))


class Data(list):
    """A data set with one sample of each of its labels."""

    def __init__(self, classes):
        super().__init__((f'image {label}', label) for label in range(len(classes)))
        self.classes, self.decoding = classes, 'upright'

    def where(self, index):
        return f'sample {index}'


def labels(records):
    return [records[index] for index in range(len(records))]


@pytest.mark.parametrize('data, names, words, wanted', [
    (['a', 'b', 'c'], ['a', 'b', 'c'], None, [0, 1, 2]),
    (['b', 'c'], ['a', 'b', 'c'], None, [1, 2]),
    (['a', 'b', 'c'], ['c', 'b', 'a'], None, [2, 1, 0]),
    (['cat', 'n3'], ['n1', 'n2', 'n3'], ['dog', 'cat', ''], [1, 2]),
    (['n2', 'n3'], ['n1', 'n2', 'n3'], ['cat', 'cat', 'cat'], [1, 2]),
    ([WORDS[7], WORDS[3]], [WNIDS[3], WNIDS[5], WNIDS[7]], None, [2, 0]),
    ([WNIDS[3], WNIDS[7]], [WORDS[7], WORDS[3]], None, [1, 0]),
], ids=['alike', 'some', 'order', 'words', 'ambiguous-words', 'words-of-wnids', 'wnids-of-words'])
def test_labels_are_found_by_name(data, names, words, wanted):
    found = match(Data(data), 'folder', 'w', len(names), Description('resnest14', len(names), {}, names, words))
    assert labels(found) == [(f'image {place}', label) for place, label in enumerate(wanted)]
    assert (found.decoding, found.where(1)) == ('upright', 'sample 1')


def test_bare_weights_of_1000_classes_are_imagenets():
    assert [label for _, label in labels(match(Data([WNIDS[9], WORDS[2]]), 'f', 'w', 1000))] == [9, 2]
    own = Data([f'c{number}' for number in range(1000)])
    assert match(own, 'f', 'w', 1000) is own
    with pytest.raises(InputError, match='^f: w do not know walrus, only n01440764, .*1000 in all'):
        match(Data([WNIDS[9], 'walrus']), 'f', 'w', 1000)
    with pytest.raises(InputError, match='^w know 1000 classes, not 2 as f has'):
        match(Data(['nobody', 'walrus']), 'f', 'w', 1000)


def test_names_that_the_weights_do_not_know():
    described = Description('resnest14', 2, {}, ['a', 'b'])
    with pytest.raises(InputError, match='^f: w do not know c, d, only a, b; ') as caught:
        match(Data(['a', 'c', 'd']), 'f', 'w', 2, described)
    assert len(str(caught.value).splitlines()) == 1
    many = pytest.raises(InputError, match, Data(list(map(str, range(99)))), 'f', 'w', 2, described)
    assert len(str(many.value)) < 300


@pytest.mark.parametrize('description', [None, Description('resnest14', 3)], ids=['bare', 'without names'])
def test_without_names_the_number_of_classes_must_be_the_same(description):
    data = Data(['x', 'y', 'z'])
    assert match(data, 'f', 'w', 3, description) is data
    nameless = Data([])
    nameless.classes = None
    assert match(nameless, 'f', 'w', 3, description) is nameless
    with pytest.raises(InputError, match='w know 4 classes, not 3 as f has'):
        match(data, 'f', 'w', 4, description)
    assert match(data, 'f', 'w', 4, description, numbered=True) is data
    with pytest.raises(InputError, match='w know 2 classes, not 3'):
        match(data, 'f', 'w', 2, description, numbered=True)


def test_a_label_that_no_class_has():
    data = Data(['b', 'a'])
    data.append(('image', 2))
    found = match(data, 'f', 'w', 2, Description('resnest14', 2, {}, ['a', 'b']))
    with pytest.raises(InputError, match='sample 2: label 2, but there are 2 classes'):
        found[2]
