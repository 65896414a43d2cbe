"""prepare_imagenet.py on bad images, --check, and a second preparation in the same folder."""
import re

import pytest

from resnest.errors import InputError
from resnest.gluon.data.preparing.preparation import check_prepared

from ...conftest import assert_refused, read_json, script, script_here
from . import ilsvrc
from .test_preparation import SCRIPT, files, main, read_by_mxnet, read_by_tarfile, run


def damage(image):
    return image[:len(image) // 2]


def test_bad_images_are_all_named_then_left_out(tmp_path, monkeypatch, capsys):
    """A truncated JPEG, an empty file and text, in tars; the others keep their bytes."""
    made = []
    real = ilsvrc.packed
    monkeypatch.setattr(ilsvrc, 'packed', lambda members: made.append(members) or real(
        [(name, damage(data) if len(made) == 1 and number == 0 else b'' if len(made) == 2 and number == 3
          else b'text' if len(made) == 4 and number == 2 else data) for number, (name, data) in enumerate(members)]))
    ilsvrc.make(tmp_path)
    bad = [made[0][0][0], made[1][3][0], made[3][2][0]]
    result = script(SCRIPT, '--download-dir', tmp_path, '--num-shards', 4, '--check-images')
    assert_refused(result, ilsvrc.TRAIN, '--skip-bad', 'one of 3')
    for name, reason in zip(bad, ('truncated', 'empty', 'cannot identify')):
        line, = [line for line in result.stderr.splitlines() if line.startswith('bad image') and name in line]
        assert ilsvrc.TRAIN in line
        assert reason in line
    assert not (tmp_path / 'rec/manifest.json').exists()
    main('--download-dir', tmp_path, '--num-shards', 4, '--skip-bad')
    printed = capsys.readouterr().out
    assert '31 training' in printed
    assert '3 bad images left out' in printed
    skipped = read_json(tmp_path / 'rec/manifest.json')['skipped']
    assert sorted(item['member'].split('/')[1] for item in skipped) == sorted(bad)
    found = list(read_by_mxnet(tmp_path / 'rec', 'train'))
    original = read_by_tarfile(tmp_path)['train']
    assert len(found) == 31
    assert all(original[number][1] == image for image, _, number in found)
    assert check_prepared(tmp_path)['splits']['train']['records'] == 31
    # The same command again finds all of it; without --skip-bad the bad ones are named again.
    before = files(tmp_path / 'rec')
    run(tmp_path, tmp_path, num_shards=4, skip_bad=True)
    assert files(tmp_path / 'rec') == before
    with pytest.raises(InputError, match='one of 3 images'):
        run(tmp_path, tmp_path, num_shards=4, check_images=True)


def test_without_checking_bad_images_are_copied_as_they_are(official, copied, tmp_path):
    ilsvrc.pack(copied / ilsvrc.VAL, [(name, b'text') for name in official[1]['val']])
    run(copied, tmp_path)
    assert {image for image, _, _ in read_by_mxnet(tmp_path / 'rec', 'val')} == {b'text'}


@pytest.mark.parametrize('name, change, wanted', [
    ('train-00001-of-00003.rec', lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], 'sha256'),
    ('train-00001-of-00003.rec', lambda data: data[:-4], 'record 10 at byte'),
    ('val-00000-of-00001.rec', None, 'missing'),
    ('train-00000-of-00003.idx', None, 'missing'),
    ('train-00000-of-00003.idx', lambda data: data.replace(b'1\t', b'1\t1'), 'offsets'),
])
def test_check_names_what_differs_and_preparing_again_mends_it(official, tmp_path, name, change, wanted):
    run(official[0], tmp_path, num_shards=3)
    before = files(tmp_path)
    check_prepared(tmp_path)
    path = tmp_path / 'rec' / name
    data = path.read_bytes()
    path.unlink()
    if change:
        path.write_bytes(change(data))
    with pytest.raises(InputError, match=f'{name}: .*{wanted}') as error:
        check_prepared(tmp_path, 2)
    assert len(set(re.findall(r'\w+-0000\d-of', str(error.value)))) == 1
    path.unlink(missing_ok=True)
    run(official[0], tmp_path, num_shards=3)
    assert files(tmp_path) == before


def test_check_as_a_command(official, tmp_path, capsys):
    run(official[0], tmp_path, num_shards=3)
    main('--target-dir', tmp_path, '--check')
    assert '34 training' in capsys.readouterr().out
    (tmp_path / 'rec/train-00001-of-00003.rec').unlink()
    assert_refused(script_here(SCRIPT, '--target-dir', tmp_path, '--check'), 'train-00001-of-00003.rec: missing')


def test_other_options_are_refused_not_mixed(official, copied, tmp_path):
    tmp_path /= 'out'
    run(official[0], tmp_path, num_shards=3)
    before = files(tmp_path)
    for seed, options, wanted in ((1, {}, 'seed 0, now it is 1'), (0, {'num_shards': 2}, 'num_shards.train 3'),
                                  (0, {'resize': 20}, 'resize None, now it is 20')):
        with pytest.raises(InputError, match=f'{wanted}.*--target-dir'):
            run(official[0], tmp_path, seed, **{'num_shards': 3, **options})
    ilsvrc.make(copied, seed=5)
    with pytest.raises(InputError, match='source'):
        run(copied, tmp_path, num_shards=3)
    assert files(tmp_path) == before
    (tmp_path / 'rec/train-00000-of-00009.rec').write_bytes(b'')
    with pytest.raises(InputError, match='train-00000-of-00009.rec: a shard of another preparation'):
        run(official[0], tmp_path, num_shards=3)
    with pytest.raises(InputError, match='train-00000-of-00009.rec: a shard of another preparation'):
        check_prepared(tmp_path)
