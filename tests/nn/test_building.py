"""Which compiler the native operators are built with."""
import shlex
import shutil
import sys

import pytest

from resnest.errors import InputError, MissingPackage
from resnest.gluon.nn import native


def test_a_compiler_of_several_words(tmp_path, monkeypatch):
    script = tmp_path / 'a compiler.py'
    script.write_text('import sys; sys.exit("error: called with " + sys.argv[1])')
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('CXX', shlex.join([sys.executable, str(script), '-m64']))
    with pytest.raises(InputError, match=r'cannot compile split_attention\.cc: error: called with -m64'):
        native.build()


@pytest.mark.parametrize('given', ['no-such-compiler -m64', '"g++', ' '])
def test_the_variable_is_named_where_it_names_no_compiler(tmp_path, monkeypatch, given):
    assert shutil.which(given) is None
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path))
    monkeypatch.setenv('CXX', given)
    with pytest.raises(MissingPackage, match=r'CXX=.*apt-get install g\+\+'):
        native.build()
