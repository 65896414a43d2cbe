"""Naming pictures by the command: all kinds of files, in and out."""
import os

import pytest

from resnest.errors import InputError
from resnest.gluon import get_model

from ...conftest import assert_refused, randomize, read_json, script, script_main
from .conftest import NAMES, by_hand


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A file of resnest14 for six classes."""
    path = tmp_path_factory.mktemp('trained') / 'best.params'
    net = randomize(get_model('resnest14', classes=6))
    net.save_parameters(str(path))
    return path, net


WORDS = ('--model', 'resnest14', '--crop-size', 32, '--crop-ratio', 1, '--no-cuda')


def test_command(trained, photos, tmp_path):
    """Files and a folder, with names; the number of classes is that of the file."""
    path, net = trained
    folder, pixels = photos
    (tmp_path / 'names').write_text('\n'.join(NAMES))
    (tmp_path / 'in').mkdir()
    good = sorted(folder.iterdir())[:5]
    for file in good[2:]:
        (tmp_path / 'in' / file.name).write_bytes(file.read_bytes())
    result = script('gluon/classify.py', good[0], good[1], 'in', *WORDS, '--resume', path, '--classes', 'names',
                    '--top-k', 2, '--batch-size', 2, '--json', 'a.json', '--explain', 'a.png', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    written = read_json(tmp_path / 'a.json')
    assert [entry['file'] for entry in written['pictures']] == [
        str(good[0]), str(good[1]), *(f'in/{file.name}' for file in good[2:])]
    assert written['unreadable'] == []
    for entry, wanted in zip(written['pictures'], by_hand(net, pixels)):
        assert entry['top'][0]['probability'] == pytest.approx(wanted.max(), abs=1e-4)
        assert len(entry['top']) == 2
    best = written['pictures'][0]['top'][0]
    assert f"{good[0]}\n  {100 * best['probability']:6.2f} %  {best['name']}\n" in result.stdout
    assert 'a.png: what the network looked at in 5 of 5 pictures' in result.stdout
    assert (tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')


def test_command_names_what_it_cannot_read(trained, photos, tmp_path):
    """The rest is named all the same."""
    folder, _ = photos
    files = sorted(folder.iterdir())
    result = script('gluon/classify.py', folder, *WORDS, '--resume', trained[0], '--json', tmp_path / 'a.json')
    assert_refused(result, files[5], files[6], 'not a readable image', 'and 1 more')
    assert all(str(file) in result.stdout for file in files[:5])
    written = read_json(tmp_path / 'a.json')
    assert (len(written['pictures']), len(written['unreadable'])) == (5, 2)
    alone = script('gluon/classify.py', files[6], *WORDS, '--resume', trained[0], '--explain', tmp_path / 'a.png')
    assert_refused(alone, files[6], 'truncated')
    assert alone.stdout == ''
    assert not (tmp_path / 'a.png').exists()


def test_names_that_cannot_be_shown(trained, photos, tmp_path):
    """Bytes that are no text, formulas, letters that neither the terminal nor the font has."""
    names = [os.fsdecode(b'caf\xe9.png'), '$\\foo$.png', 'two\nlines.png', '\u56fe\U0001f600.png']
    for name in names:
        (tmp_path / name).write_bytes((photos[0] / '0.png').read_bytes())
    result = script('gluon/classify.py', *names, *WORDS, '--resume', trained[0], '--json', 'a.json', '--explain',
                    'a.PDF', cwd=tmp_path, PYTHONIOENCODING='ascii')
    assert (result.returncode, 'Warning' in result.stderr) == (0, False), result.stderr
    assert r'caf\udce9.png' in result.stdout
    assert [entry['file'] for entry in read_json(tmp_path / 'a.json')['pictures']] == names
    assert (tmp_path / 'a.PDF').read_bytes().startswith(b'%PDF')


@pytest.mark.parametrize('words, wanted', [
    (('no.jpg',), 'no.jpg: no such file'), (('{a}', '--resume', 'no.params'), 'no.params: no such file'),
    (('{a}', '--resume', '{a}'), 'not a parameter file'),
    (('{a}', '--resume', '{p}', '--classes', '{p}'), 'no text in UTF-8'),
    (('{a}', '--resume', '{p}', '--model', 'resnest26'), 'not of this network'),
    (('{a}', '--model', 'skresnet50'), 'no weights are published for skresnet50'),
    (('{a}', '--top-k', '0'), '--top-k must be at least 1'),
    (('{a}', '--json', 'no/a.json'), 'no/a.json: cannot be written'), (('{a}', '--explain', '.'), 'cannot be written'),
    (('{a}', '--explain', 'a.tiff'), 'a.tiff: the ending must be one of .png .pdf'),
    (('{a}', '--crop-size', '5'), 'the crop size must be a whole number of at least 17')])
def test_command_refuses(trained, photos, tmp_path, monkeypatch, words, wanted):
    monkeypatch.chdir(tmp_path)
    main = script_main('gluon/classify.py')
    words = [word.format(a=photos[0] / '0.png', p=trained[0]) for word in words]
    with pytest.raises(InputError, match=wanted):
        main([str(word) for word in (*WORDS, *words)])
    assert list(tmp_path.iterdir()) == []
