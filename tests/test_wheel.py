"""What pip installs: the wheel that is built from the sdist, as from a clone, without a network."""
import shutil
import sys
import tarfile
import zipfile

from setuptools import find_packages

from .conftest import ROOT, command

BUILD = 'import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))'


def build(kind, folder, target):
    result = command(sys.executable, '-c', BUILD, kind, target, cwd=folder)
    assert result.returncode == 0, result.stderr
    return target / result.stdout.splitlines()[-1]


def test_the_wheel_has_all_of_the_package(tmp_path):
    clone = tmp_path / 'clone'
    shutil.copytree(ROOT / 'resnest', clone / 'resnest', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, clone)
    with tarfile.open(build('build_sdist', clone, tmp_path)) as archive:
        archive.extractall(tmp_path / 'sdist')
    source, = (tmp_path / 'sdist').iterdir()
    with zipfile.ZipFile(build('build_wheel', source, tmp_path)) as wheel:
        there = {name for name in wheel.namelist() if '.dist-info/' not in name}
        about = {name.rpartition('/')[2]: wheel.read(name).decode() for name in wheel.namelist() if 'info/' in name}
        line = wheel.read('resnest-mxnet.pth').decode()
    wanted = {str(path.relative_to(clone)) for path in (clone / 'resnest').rglob('*') if path.is_file()}
    assert there - wanted == {'resnest-mxnet.pth'}
    assert wanted - there == set(), 'package_data of setup.py'
    assert {name.rpartition('/')[0].replace('/', '.') for name in there if name.endswith('/__init__.py')} == {
        *find_packages(str(ROOT), include=['resnest', 'resnest.*'])}
    assert 'resnest = resnest.__main__:run' in about['entry_points.txt']
    assert 'LICENSE' in about
    exec(compile(line, 'resnest-mxnet.pth', 'exec'))
    assert len(line.splitlines()) == 1
