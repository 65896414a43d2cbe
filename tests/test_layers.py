"""Imports point downwards only: scripts → training, inference → data, models → nn → runtime."""
import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# What a room may import of the package, besides itself. resnest.errors and resnest.runtime are open to all.
ALLOWED = {
    'resnest.gluon.nn': set(),
    'resnest.gluon.models': {'resnest.gluon.nn'},
    'resnest.gluon.data': set(),
    'resnest.gluon.training': {'resnest.gluon.nn', 'resnest.gluon.data'},
    'resnest.gluon.inference': {'resnest.gluon.nn', 'resnest.gluon.models', 'resnest.gluon.data'},
    'resnest.gluon.device': set(),
}
SOURCES = sorted((ROOT / 'resnest').rglob('*.py'))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(path):
    """Full names of the modules that a file imports, wherever in it."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) + 1 - node.level] if node.level else []
            base += node.module.split('.') if node.module else []
            for alias in node.names:
                whole = ROOT.joinpath(*base, alias.name)
                is_module = whole.is_dir() or whole.with_suffix('.py').is_file()
                yield '.'.join([*base, alias.name] if is_module else base)


FOUNDATION = {module_name(path) for path in (ROOT / 'resnest').glob('*.py')}


def room(name):
    return next((candidate for candidate in ALLOWED if name == candidate or name.startswith(candidate + '.')), None)


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    here = module_name(path)
    for name in imports(path):
        if not name.startswith('resnest') or name in FOUNDATION - {'resnest.__main__'}:
            continue
        if here in ('resnest.gluon', 'resnest.__main__', 'resnest.environment'):
            continue        # the front doors
        assert here not in FOUNDATION, f'{here} imports {name}'
        assert room(name) in ALLOWED[room(here)] | {room(here)}, f'{here} imports {name}'


def test_only_distributed_and_the_report_import_horovod():
    users = {module_name(path) for path in SOURCES for name in imports(path) if name.split('.')[0] == 'horovod'}
    assert users - {'resnest.environment'} == {'resnest.gluon.training.distributed'}


@pytest.mark.parametrize('path', sorted((ROOT / 'scripts').rglob('*.py')), ids=lambda path: path.name)
def test_scripts_are_short_and_importing_one_does_nothing(path):
    assert len(path.read_text().splitlines()) <= 100
    code = ('import runpy, sys; before = set(sys.modules); '
            f'runpy.run_path({str(path)!r}, run_name="imported"); '
            'print("mxnet" in sys.modules, "numpy" in sys.modules)')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/')
    assert (result.returncode, result.stdout.split()) == (0, ['False', 'False']), result.stderr


def test_no_star_imports_but_the_front_doors():
    stars = {module_name(path) for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.ImportFrom) and node.names[0].name == '*'}
    assert stars <= {'resnest.gluon', 'resnest.gluon.models'}


def test_every_file_reads_in_one_sitting():
    assert [path for path in SOURCES if len(path.read_text().splitlines()) > 250] == []
