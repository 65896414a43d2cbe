"""Imports point downwards only, between the rooms and between the rooms inside them; names stand for one thing each."""
import ast
import importlib
import inspect
import itertools
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# What a room may import of the package, besides itself. What lies above: speed → tasks → training, inference.
GROUND = {'resnest.gluon.checking', 'resnest.gluon.device', 'resnest.gluon.distributed', 'resnest.gluon.figures',
          'resnest.gluon.graph', 'resnest.gluon.mxnet_private', 'resnest.gluon.rendezvous', 'resnest.gluon.streams',
          'resnest.gluon.winograd'}
BELOW = {'resnest.gluon.nn', 'resnest.gluon.models', 'resnest.gluon.data'} | GROUND
ALLOWED = {
    'resnest.gluon.checking': set(),
    'resnest.gluon.device': set(),
    'resnest.gluon.figures': set(),
    'resnest.gluon.graph': set(),
    'resnest.gluon.mxnet_private': set(),
    'resnest.gluon.streams': set(),
    'resnest.gluon.winograd': set(),
    'resnest.gluon.rendezvous': set(),
    'resnest.gluon.distributed': {'resnest.gluon.mxnet_private', 'resnest.gluon.rendezvous'},
    'resnest.building': set(),
    'resnest.scaling': set(),
    'resnest.gluon.nn': {'resnest.building'} | GROUND,
    'resnest.gluon.models': {'resnest.gluon.nn'} | GROUND,
    'resnest.gluon.data': {'resnest.gluon.nn'} | GROUND,
    'resnest.gluon.inference': BELOW,
    'resnest.gluon.training': {'resnest.gluon.nn'} | GROUND,
    'resnest.gluon.tasks.classification': {'resnest.gluon.inference', 'resnest.gluon.training'} | BELOW,
    'resnest.gluon.tasks.segmentation': {'resnest.gluon.inference', 'resnest.gluon.training'} | BELOW,
    'resnest.gluon.tasks.detection': {'resnest.gluon.inference', 'resnest.gluon.training'} | BELOW,
    'resnest.gluon.tasks.pose': {'resnest.gluon.inference', 'resnest.gluon.training'} | BELOW,
    'resnest.gluon.catalogue': {'resnest.gluon.models', 'resnest.gluon.tasks.segmentation',
                                'resnest.gluon.tasks.detection', 'resnest.gluon.tasks.pose'},
    'resnest.gluon.speed': {'resnest.gluon.inference', 'resnest.gluon.training', 'resnest.gluon.catalogue',
                            'resnest.gluon.tasks.classification', 'resnest.gluon.tasks.segmentation',
                            'resnest.gluon.tasks.detection'} | BELOW,
}
# The rooms inside a room, each with those of them that it may import. Modules beside them (``''``) are above all of
# them unless they are named here.
INSIDE = {
    'resnest.gluon.nn': {'native': set()},
    'resnest.gluon.models': {'weights': set()},
    'resnest.gluon.data': {'shards': {'images'}, 'images': set(), 'coco': set(),
                           'preparing': {'images', 'shards'}},
    'resnest.gluon.inference': {'passes': set(), 'int8': {'passes'}, 'optimized': {'passes', 'int8'},
                                'export': {'passes', 'optimized'}},
    'resnest.gluon.training': {'methods': set(), 'reporting': set(), 'run': {'methods', 'reporting'}},
    'resnest.gluon.tasks.classification': {'explanations': set(), 'ablation': set(), 'mixing': set(),
                                           'design_space': {'ablation'}},
    'resnest.gluon.tasks.segmentation': {'data': set(), 'scores': {'data'}},
    'resnest.gluon.tasks.detection': {'data': {'geometry'}, 'geometry': set(), 'parts': {'geometry'},
                                      'learning': {'geometry'}, 'scores': {'data', 'geometry'},
                                      'weights': set()},
    'resnest.gluon.tasks.pose': {'data': set(), 'scores': set()},
    'resnest.gluon.speed': {},
}
# Modules beside the inner rooms that those may import: plain facts, which import none of them.
FACTS = {'resnest.gluon.nn.split_attention', 'resnest.gluon.models.rows', 'resnest.gluon.models.variants',
         'resnest.gluon.models.resnet', 'resnest.gluon.models.zoo', 'resnest.gluon.training.config',
         'resnest.gluon.training.fields', 'resnest.gluon.training.recipe', 'resnest.gluon.training.options',
         'resnest.gluon.tasks.classification.config', 'resnest.gluon.tasks.classification.evaluation',
         'resnest.gluon.tasks.segmentation.resizing', 'resnest.gluon.tasks.detection.truth',
         'resnest.gluon.tasks.pose.heatmaps', 'resnest.gluon.tasks.pose.placing',
         'resnest.gluon.tasks.detection.detector', 'resnest.gluon.tasks.detection.table'}
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


def inner_room(name):
    """The room inside a room, ``''`` for a module that lies beside these rooms."""
    rest = name[len(room(name)) + 1:].split('.')
    return rest[0] if rest[0] in INSIDE.get(room(name), ()) else ''


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path):
    here = module_name(path)
    for name in imports(path):
        if not name.startswith('resnest') or name in FOUNDATION - {'resnest.__main__'}:
            continue
        if here in ('resnest.gluon', 'resnest.__main__', 'resnest.environment') or here.startswith('resnest.commands'):
            continue        # the front doors
        assert not name.startswith('resnest.commands'), f'{here} imports {name}'
        assert here not in FOUNDATION, f'{here} imports {name}'
        if name == 'resnest.gluon':
            name = 'resnest.gluon.models'       # its front door
        assert room(here), f'{here} is in no room'
        assert room(name) in ALLOWED[room(here)] | {room(here)}, f'{here} imports {name}'
        if room(name) == room(here) and inner_room(here) and name not in FACTS:
            open_to = INSIDE[room(here)][inner_room(here)] | {inner_room(here)}
            assert inner_room(name) in open_to, f'{here} imports {name}'


def test_the_foundation_has_no_cycle():
    """What must be settled before mxnet is imported: its modules import each other in one order only."""
    graph = {module_name(path): {name for name in imports(path) if name in FOUNDATION and name != 'resnest'}
             for path in (ROOT / 'resnest').glob('*.py')}
    ordered = []
    while graph.keys() - ordered:
        free = [name for name in sorted(graph.keys() - ordered) if graph[name] <= {*ordered}]
        assert free, f'a cycle among {sorted(graph.keys() - ordered)}'
        ordered += free


@pytest.mark.parametrize('package', sorted({module_name(path) for path in SOURCES if path.name == '__init__.py'}))
def test_no_export_hides_a_module(package):
    """``from room import name`` gives one thing: a module or what a module exports, never either."""
    folder = ROOT.joinpath(*package.split('.'))
    modules = {path.stem for path in folder.glob('*.py')} | {path.parent.name for path in folder.glob('*/__init__.py')}
    door = importlib.import_module(package)
    for name in modules & set(getattr(door, '__all__', ())):
        assert inspect.ismodule(getattr(door, name)), f'{package}.{name} is a module and something else'
    for path in folder.glob('*.py'):
        defined = {getattr(node, 'name', None) for node in ast.parse(path.read_text()).body}
        assert path.stem not in defined, f'{package}.{path.stem} bears the name of what it defines'


@pytest.mark.parametrize('package', sorted({module_name(path) for path in SOURCES if path.name == '__init__.py'}))
def test_rooms_are_small_and_names_apart(package):
    names = sorted(path.stem for path in ROOT.joinpath(*package.split('.')).glob('*.py') if path.name != '__init__.py')
    assert len(names) <= 14
    for one, other in itertools.combinations(names, 2):
        common = len(os.path.commonprefix([one, other]))
        assert common < 5 or common < 0.6 * max(len(one), len(other)), f'{one} and {other} differ by an ending'


def test_only_what_joins_ranks_and_the_report_import_horovod():
    users = {module_name(path) for path in SOURCES for name in imports(path) if name.split('.')[0] == 'horovod'}
    assert users - {'resnest.environment'} == {'resnest.gluon.distributed', 'resnest.gluon.rendezvous'}


def test_one_module_knows_the_private_names_of_mxnet():
    """A private name is used where it is defined, and nowhere else."""
    for path in SOURCES:
        if path.name != 'mxnet_private.py':
            tree = ast.parse(path.read_text())
            own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                   and isinstance(node.value, ast.Name) and node.value.id in ('self', 'cls')}
            own |= {getattr(node, 'name', None) for node in ast.walk(tree)}
            for node in ast.walk(tree):
                private = isinstance(node, ast.Attribute) and re.match('_[a-zA-Z]', node.attr)
                assert not private or node.attr in own | {'_exit'}, f'{path}, line {node.lineno}: {node.attr}'
                hidden = isinstance(node, ast.ImportFrom) and '._' in f'.{node.module}'
                assert not hidden, f'{path}, line {node.lineno}: {node.module}'


@pytest.mark.parametrize('path', sorted([*(ROOT / 'scripts').rglob('*.py'), *(ROOT / 'resnest/commands').glob('*.py')]),
                         ids=lambda path: '/'.join(path.parts[-2:]))
def test_commands_are_short_and_importing_one_does_nothing(path):
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
