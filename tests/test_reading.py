"""Plain files of a bounded size; JSON and YAML of a bounded shape."""
import json
import os
import re

import pytest
import yaml

from resnest.errors import InputError
from resnest.reading import format_yaml, one_line, parse_json, parse_yaml, read_bytes, read_json, read_text


def refused(call, *words):
    with pytest.raises(InputError) as caught:
        call()
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_only_plain_files(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link').symlink_to(tmp_path / 'link')
    for path, word in ((tmp_path / 'pipe', 'no plain file'), (tmp_path, 'Is a directory'), ('/dev/zero', 'no plain'),
                       (tmp_path / 'link', 'Too many levels'), (tmp_path / 'gone', 'No such file'),
                       ('a\0b', r'a\x00b: ')):
        refused(lambda path=path: read_bytes(path), word)
    (tmp_path / 'good').write_bytes(b'\xef\xbb\xbfcaf\xc3\xa9')
    (tmp_path / 'also').symlink_to(tmp_path / 'good')
    assert read_text(tmp_path / 'also') == 'café'


def test_a_bounded_size(tmp_path):
    (tmp_path / 'a').write_bytes(b'12345')
    assert read_bytes(tmp_path / 'a', 5) == b'12345'
    refused(lambda: read_bytes(tmp_path / 'a', 4), '5 bytes')
    with open(tmp_path / 'sparse', 'wb') as opened:
        opened.truncate(2 ** 40)
    refused(lambda: read_text(tmp_path / 'sparse'), '1099511627776 bytes')


@pytest.mark.parametrize('value', [None, True, 1, -2.5, 'x', [], {}, [1, {'a': [None, 'é']}], 10 ** 19])
def test_values_that_are_taken(value, tmp_path):
    (tmp_path / 'a.json').write_text(json.dumps(value))
    assert read_json(tmp_path / 'a.json') == value
    assert parse_yaml(yaml.safe_dump(value), 'a') == value


@pytest.mark.parametrize('text', ['', '{', '[' * 99999, '[' * 200 + ']' * 200, 'NaN', '[Infinity]', '1' * 5000,
                                  '"\\ud800"', '{"a": 1} x', '[-1e400]'], ids=lambda text: text[:9])
def test_json_that_is_refused(text):
    refused(lambda: parse_json(text, 'a\nb.json'), r'a\nb.json: not JSON: ')


@pytest.mark.parametrize('text', ['a: [', '[' * 500 + ']' * 500, 'a: &x [1]\nb: *x', '? [1]\n: 2', 'a: 1\na: 2',
                                  'a: ' + '1' * 5000, '"\\ud800"', 'a: !!python/object:os.system x', 'a: \x01',
                                  '!!int x', '- - ' * 300 + 'x', '!!timestamp 99999-99-99', '!!float x', '1e400'],
                         ids=lambda text: text[:9].replace('\x01', '1'))
def test_yaml_that_is_refused(text):
    refused(lambda: parse_yaml(text, 'a.yaml'), 'a.yaml', 'not YAML: ')


def test_yaml_has_the_types_of_json():
    text = '{a: 2020-01-01, b: 1:30, c: 0777, d: 1e-4, e: yes, f: .inf, g: 0x10, h: 1_000, 1: ~, i: -.5}'
    assert parse_yaml(text, 'a') \
        == {'a': '2020-01-01', 'b': '1:30', 'c': 777, 'd': 1e-4, 'e': True, 'f': '.inf', 'g': '0x10', 'h': '1_000',
            '1': None, 'i': -0.5}


@pytest.mark.parametrize('value', ['1e5', '.5', '1', 'yes', 'null', '~', '', ' ', '1:30', '2020-01-01', '.inf', '*a',
                                   'a: b', 'é\U0001f600', 'a\nb', '#',
                                   {'b': 1e-5, 'a': [1e300, -3, None, True, {}, []]}])
def test_what_is_written_is_read(value):
    assert parse_yaml(format_yaml(value), 'a') == value
    assert parse_yaml(format_yaml({'x': value}), 'a') == {'x': value}
    if isinstance(value, dict):
        assert list(parse_yaml(format_yaml(value), 'a')) == list(value)


def test_numbers_that_json_does_not_have():
    found = parse_json('[NaN, -Infinity]', 'a', nan=True)
    assert str(found) == '[nan, -inf]'


def test_one_line():
    assert one_line('a\nb\x1b[0m\u202e') == r'a\nb\x1b[0m\u202e'
    assert re.fullmatch('x{9}…', one_line('x' * 100, 10))


def test_room_is_made_for_what_is_there_not_for_what_could_be(tmp_path):
    (tmp_path / 'a').write_bytes(b'ten bytes.')
    assert read_bytes(tmp_path / 'a', 1 << 50) == b'ten bytes.'
    assert int(read_bytes('/proc/self/stat', 1 << 12).split()[0]) == os.getpid()       # which tells no size
