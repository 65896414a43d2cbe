"""Which compiler the native operators are built with."""
import os
import re
import shlex
import shutil
import sys

import pytest

from resnest.errors import InputError, MissingPackage
from resnest.gluon.nn import native
from resnest.gluon.nn.native import building

from ..conftest import needs_compiler
from ..processes import python


def test_a_compiler_of_several_words(tmp_path, monkeypatch):
    script = tmp_path / 'a compiler.py'
    script.write_text('import sys; sys.exit("error: called with " + sys.argv[1])')
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('CXX', shlex.join([sys.executable, str(script), '-m64']))
    with pytest.raises(InputError, match=r'cannot compile split_attention\.cc: error: called with -m64'):
        native.build()


def test_another_compiler_or_mxnet_gives_another_file(tmp_path, monkeypatch):
    """The one that the default names, and a compiler that has gone: a machine may have the file alone."""
    monkeypatch.delenv('CXX', raising=False)
    paths = [native.library()]
    for given in ('', 'g++'):
        monkeypatch.setenv('CXX', given)
        assert native.library() == paths[0]
    for given in ('clang++', 'g++ -m64', '"g++'):
        monkeypatch.setenv('CXX', given)
        paths.append(native.library())
    shutil.copytree(building.MXNET / 'src', tmp_path / 'src')
    (tmp_path / 'libmxnet.so').write_bytes(b'smaller')
    monkeypatch.setattr(building, 'MXNET', tmp_path)
    paths.append(native.library())
    with open(tmp_path / 'src' / 'lib_api.cc', 'a') as source:
        source.write('// another')
    paths.append(native.library())
    assert len({path.name for path in paths}) == len(paths) == 6


@pytest.mark.slow
@needs_compiler
def test_nodes_of_another_shape_are_refused_when_loading(tmp_path):
    """The offset of a node's inputs, taken a word too far."""
    folder = shutil.copytree(building.FOLDER, tmp_path / 'native')
    header = folder / 'graph_nodes.h'
    header.write_text(header.read_text().replace('+ 48;', '+ 56;'))
    assert header.read_text() != (building.FOLDER / header.name).read_text()
    code = f"""
        import pathlib, warnings, resnest.gluon
        from resnest.gluon.nn.native import building, loading
        building.FOLDER = pathlib.Path({str(folder)!r})
        with warnings.catch_warnings(record=True) as caught:
            print(loading.load(name='masked_map'), caught[0].message)
        """
    found = python(code, RESNEST_CACHE=str(tmp_path), CXX=f"{os.environ.get('CXX') or 'g++'} -O0")
    assert found.startswith('False')
    assert found.endswith('masked_map needs the wheel of MXNet 1.9.1')


def test_an_mxnet_without_the_sources_of_its_wheel_goes_without(tmp_path, monkeypatch):
    monkeypatch.setattr(building, 'MXNET', tmp_path)
    monkeypatch.setattr(native.loading, '_loaded', set())
    monkeypatch.setattr(native.loading, '_failed', {})
    for function in native.available, native.load:
        with pytest.warns(UserWarning, match='without the native operators: .*lib_api.cc'):
            assert not function()


@pytest.mark.parametrize('given', ['no-such-compiler -m64', '"g++', ' '])
def test_the_variable_is_named_where_it_names_no_compiler(tmp_path, monkeypatch, given):
    assert shutil.which(given) is None
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path))
    monkeypatch.setenv('CXX', given)
    with pytest.raises(MissingPackage, match=f'^CXX={re.escape(given)} names no C.. compiler: unset it, or name one$'):
        native.build()
