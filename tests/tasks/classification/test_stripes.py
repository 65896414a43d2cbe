"""From pictures as people have them to their names, by commands that are told nothing they can know themselves."""
import pytest

from ...conftest import read_json, script
from .stripes import CLASSES, write_stripes

SMALL = ('--model', 'resnest14', '--model-options', 'stem_width=8', 'bottleneck_width=16', '--input-size', 32,
         '--batch-size', 8, '--lr', 0.02, '--num-epochs', 7, '--warmup-epochs', 1, '--last-gamma', '--no-cuda')


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """40 phone pictures, 40 icons and 40 scans; and as many others, in ``val/``."""
    folder = tmp_path_factory.mktemp('stripes')
    write_stripes(folder / 'photos', 40)
    write_stripes(folder / 'others/val', 40, seed=1)
    return folder


def run(name, *words, cwd):
    done = script(f'gluon/{name}.py' if name != 'prepare' else 'dataset/prepare_imagenet.py', *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('resize', [(), ('--resize', 40)])
def test_every_command_sees_the_same_pictures(photos, tmp_path, resize):
    run('prepare', '--image-folder', photos / 'photos', '--target-dir', 'prepared', '--val-fraction', 0.2, *resize,
        cwd=tmp_path)
    run('train', '--rec-train', 'prepared', *SMALL, '--augment', 'none', '--save-dir', 'runs', cwd=tmp_path)
    weights = ('--resume', 'runs/best.params')
    verified = run('verify', '--rec-dir', 'prepared', *weights, cwd=tmp_path)
    assert 'top-1 100.00 %' in verified
    run('verify', '--data-dir', photos / 'others/val', *weights, '--json', 'found.json', cwd=tmp_path)
    found = read_json(tmp_path / 'found.json')
    assert (found['seen'], found['correct1']) == (120, 120)
    run('classify', photos / 'others/val', *weights, '--json', 'named.json', cwd=tmp_path)
    named = read_json(tmp_path / 'named.json')
    assert (len(named['pictures']), named['unreadable']) == (120, [])
    for picture in named['pictures']:
        assert picture['file'].split('/')[-2] == picture['top'][0]['name']
    assert {each['name']: each['right'] for each in found['classes']} == dict.fromkeys(CLASSES, 60)
