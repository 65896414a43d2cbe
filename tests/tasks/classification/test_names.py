"""Names of classes: those that ship, and files of others."""
import json

import pytest

from resnest.errors import InputError
from resnest.gluon.tasks.classification.names import class_names, imagenet_classes


def test_imagenet():
    classes = imagenet_classes()
    assert len(classes) == 1000
    assert list(classes) == sorted(classes)         # labels are the sorted WNIDs
    names = class_names(1000)
    assert len(set(names)) == 1000
    # Well-known labels of ILSVRC 2012.
    for label, name in {0: 'tench', 1: 'goldfish', 207: 'golden retriever', 281: 'tabby', 285: 'Egyptian cat',
                        388: 'giant panda', 463: 'bucket', 812: 'space shuttle', 999: 'toilet tissue'}.items():
        assert names[label] == name


def test_names_are_those_of_gluoncv():
    pytest.importorskip('gluoncv')
    from gluoncv.data import ImageNet1kAttr
    theirs = ImageNet1kAttr()
    assert list(imagenet_classes()) == theirs.synset
    differ = {(ours, name) for ours, name in zip(class_names(1000), theirs.classes) if ours != name}
    assert differ == {('crane (bird)', 'crane'), ('crane (machine)', 'crane'), ('maillot, tank suit', 'maillot')}


def test_other_counts_are_numbers():
    assert class_names(3) == ['0', '1', '2']


def test_files(tmp_path):
    (tmp_path / 'names.txt').write_text('cat\n dog with a bone \r\nn01440764\n')
    assert class_names(3, tmp_path / 'names.txt') == ['cat', 'dog with a bone', 'tench']
    (tmp_path / 'manifest.json').write_text(json.dumps({'classes': ['a', 'b'], 'splits': {}}))
    assert class_names(2, tmp_path / 'manifest.json') == class_names(2, tmp_path) == ['a', 'b']


@pytest.mark.parametrize('name, content, wanted', [
    ('a.txt', b'one\ntwo\n', r'a.txt: 2 names, but the network has 3 classes'),
    ('a.txt', b'\xff\xfe\x00', 'a.txt: no text in UTF-8'), ('a.json', b'{}', 'a.json: no manifest.json'),
    ('a.json', b'[1, 2, 3]', 'a.json: no manifest'), ('a.json', b'{"cla', 'a.json: not JSON'),
    ('a.json', b'{"classes": {"a": 1, "b": 2, "c": 3}}', 'a.json: no manifest'),
    ('a.json', b'{"classes": [["a"], "b", "c"]}', 'a.json: no manifest'),
    ('a.json', b'{"classes": 5}', 'a.json: no manifest')])
def test_refusals(tmp_path, name, content, wanted):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=wanted):
        class_names(3, tmp_path / name)


def test_names_are_shown_on_one_line(tmp_path):
    (tmp_path / 'manifest.json').write_text(json.dumps({'classes': ['a\nb', 'c\u2028\x1b[2Jd', 'é' * 999]}))
    first, second, third = class_names(3, tmp_path)
    assert (first, second) == ('a b', 'c \\x1b[2Jd')
    assert len(third) == 200


def test_no_file(tmp_path):
    with pytest.raises(InputError, match='no.txt: no such file'):
        class_names(3, tmp_path / 'no.txt')
    with pytest.raises(InputError, match='manifest.json: no such file'):
        class_names(3, tmp_path)
