"""The report of ``resnest env``, and the set-up files that must agree with each other."""
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from resnest import environment, runtime
from resnest.building import __main__ as building
from resnest.errors import MissingPackage

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ('3.9', '3.10', '3.11', '3.12', '3.13')


def lines(report):
    return dict(re.findall(r'^(\S+) +(.*)$', report, re.MULTILINE))


@pytest.fixture(scope='module')
def setup_arguments():
    captured = {}
    original, setuptools.setup = setuptools.setup, lambda **arguments: captured.update(arguments)
    try:
        exec(compile((ROOT / 'setup.py').read_text(), str(ROOT / 'setup.py'), 'exec'),
             {'__file__': str(ROOT / 'setup.py'), '__name__': 'setup'})
    finally:
        setuptools.setup = original
    return captured


def pins(python):
    requirements = [Requirement(line) for line in (ROOT / 'constraints.txt').read_text().splitlines()
                    if line and not line.startswith('#')]
    found = [(canonicalize_name(r.name), str(r.specifier).lstrip('=')) for r in requirements
             if r.marker is None or r.marker.evaluate({'python_version': python, 'python_full_version': python})]
    assert len(found) == len(dict(found)), 'a package is pinned twice'
    return dict(found)


def test_report_names_the_installed_versions():
    report = lines(environment.describe())
    assert report['numpy'] == metadata.version('numpy')
    assert report['mxnet'].startswith('1.9.1')
    assert 'oneDNN' in report['mxnet']
    assert metadata.version('pytest') in report['[dev]']
    assert report['python'].startswith('.'.join(map(str, sys.version_info[:3])))


def test_report_without_any_package():
    """Started without site-packages: everything is missing, and each line says so."""
    result = subprocess.run([sys.executable, '-S', '-m', 'resnest', 'env'], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, '')
    report = lines(result.stdout)
    for name in ('mxnet', 'numpy', 'horovod', '[demo]', '[export]', '[transfer]', '[dev]'):
        assert 'MISSING' in report[name], name
    assert "pip install 'onnx>=1.16,<1.19' onnxruntime" in report['[export]']
    assert 'usable physical cores' in report['threads']


def test_report_survives_a_broken_part(monkeypatch):
    def broken():
        raise RuntimeError('driver went away')
    monkeypatch.setattr(runtime, 'gpu_capabilities', broken)
    report = lines(environment.describe())
    assert report['gpu'] == 'BROKEN: RuntimeError: driver went away'
    assert report['numpy'] == metadata.version('numpy')


def test_report_marks_gpus_without_kernels(monkeypatch):
    monkeypatch.setattr(runtime, 'gpu_capabilities', lambda: [(8, 6), (9, 0)])
    first, second = lines(environment.describe())['gpu'].split(', ')
    assert first == '0: capability 8.6'
    assert second.startswith('1: capability 9.0 (UNUSABLE')


def test_report_of_a_compiler_with_a_launcher_and_of_none(monkeypatch):
    monkeypatch.setenv('CXX', f'env {sys.executable} -B')
    assert lines(environment.describe())['compiler'] == f'Python {sys.version.split()[0]}'
    monkeypatch.setenv('CXX', 'no-such-compiler -m64')
    told = lines(environment.describe())['compiler']
    assert told.startswith('MISSING: CXX=no-such-compiler -m64 names no C++ compiler: unset it, or name one (to ')


@pytest.mark.parametrize('mxnet, command', [('mxnet', 'make horovod'), ('mxnet-cu112', 'make GPU=1 horovod')])
def test_report_names_the_command_that_builds_horovod_for_this_mxnet(monkeypatch, mxnet, command):
    monkeypatch.setattr(runtime, 'installed', lambda name: '1.9.1' if name == mxnet else None)
    assert f'to build it: {command}, or' in lines(environment.describe())['horovod']


def test_report_of_horovod_beside_an_mxnet_that_cannot_be_loaded(monkeypatch):
    def without_driver():
        raise MissingPackage('mxnet cannot load a library: libcuda.so.1; install the NVIDIA driver')
    monkeypatch.setattr(runtime, 'import_mxnet', without_driver)
    monkeypatch.setattr(runtime, 'installed', lambda name: '0.28.1')
    report = lines(environment.describe())
    assert report['mxnet'].endswith('install the NVIDIA driver')
    assert report['horovod'] == '0.28.1, which needs mxnet'      # and need not be built again


def test_models_without_mxnet_is_one_line():
    result = subprocess.run([sys.executable, '-S', '-m', 'resnest', 'models'], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert re.fullmatch(r'error: mxnet is not installed: pip install .*\n', result.stderr)


def test_extras_of_the_report_are_those_of_setup(setup_arguments):
    for extra, names in environment.EXTRAS.items():
        declared = {canonicalize_name(Requirement(line).name) for line in setup_arguments['extras_require'][extra]}
        assert set(names) <= declared, extra
        for requirement in map(Requirement, setup_arguments['extras_require'][extra]):
            if not re.fullmatch('(>=[^,]*)?', str(requirement.specifier)):      # the newest version may not do
                assert requirement.specifier == SpecifierSet(runtime.VERSIONS[requirement.name]), requirement
    assert set(setup_arguments['extras_require']) == {
        'cpu', 'cu112', 'detection', 'export', 'transfer', 'demo', 'dev'}


@pytest.mark.parametrize('python', PYTHONS)
def test_constraints_satisfy_setup(setup_arguments, python):
    assert python in Requirement(f'python{setup_arguments["python_requires"]}').specifier
    pinned = pins(python)
    for requirements in [(*building.TOOLS, building.HOROVOD), setup_arguments['install_requires'],
                         *setup_arguments['extras_require'].values()]:
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


@pytest.mark.skipif(runtime.installed('resnest') is None, reason='the package is not installed')
def test_every_installed_package_the_extras_pull_in_is_pinned():
    """Follows the dependencies of what is installed; only --no-deps packages may leave some out."""
    pinned = pins('.'.join(map(str, sys.version_info[:2])))
    extras, seen, todo = set(environment.EXTRAS) | {'cpu'}, set(), ['resnest']
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen or runtime.installed(name) is None:
            continue
        seen.add(name)
        for requirement in map(Requirement, metadata.requires(name) or []):
            wanted = extras if name == 'resnest' else {''}
            if requirement.marker is None or any(requirement.marker.evaluate({'extra': extra}) for extra in wanted):
                todo.append(requirement.name)
    assert len(seen) > 10
    assert seen - {'resnest'} <= set(pinned)


@pytest.mark.parametrize('version, accepted', [((3, 8, 20), False), ((3, 9, 1), True), ((3, 13, 9), True),
                                               ((3, 14, 0), False)])
def test_makefile_refuses_other_pythons(tmp_path, version, accepted):
    if shutil.which('make') is None:
        pytest.skip('make is not installed')
    shutil.copytree(ROOT / '.ci', tmp_path / '.ci')
    shutil.copy(ROOT / 'Makefile', tmp_path)
    python = tmp_path / 'python-x'
    spoof = f'import sys; sys.version_info = {version}; exec(sys.argv[1])'
    python.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit\n'
                      f'exec "{sys.executable}" -c "{spoof}" "$2"\n')
    python.chmod(0o755)
    environ = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    result = subprocess.run(['make', '-n', 'setup', f'PYTHON={python}'], cwd=tmp_path, env=environ,
                            capture_output=True, text=True)
    assert not (tmp_path / '.venv').exists()
    if accepted:
        # it gets past the check, to the first file that this folder lacks
        assert 'constraints.txt' in result.stderr
    else:
        assert result.returncode != 0
        assert result.stderr.count('\n') == 1
        assert f'Python {version}' in result.stderr
        assert '3.9 to 3.13' in result.stderr
