"""The import hook, missing packages, and numpy's removed names; mostly with a stand-in for mxnet."""
import os
import re
import subprocess
import sys
import textwrap

import pytest

from resnest import runtime

from .processes import python, write


@pytest.mark.skipif(runtime.installed('resnest') is None, reason='the package is not installed')
def test_the_environment_registers_the_hook_and_pays_nothing():
    code = """
        import sys
        print('resnest._import_hook' in sys.modules,
              [name for name in ('mxnet', 'numpy', 'setuptools', 'ctypes', 'resnest.runtime') if name in sys.modules])
        """
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    result = subprocess.run([sys.executable, '-c', textwrap.dedent(code)], env=env, cwd='/', capture_output=True,
                            text=True)
    assert (result.stdout.strip(), result.stderr) == ('True []', '')


def test_the_hook_acts_when_mxnet_runs_and_not_before(tmp_path):
    write(tmp_path / 'mxnet/__init__.py', """
        import numpy
        from distutils.version import StrictVersion
        import os
        float_, bool_is = numpy.float_, hasattr(numpy, 'bool')
        threads = os.environ['OMP_NUM_THREADS']     # read once, here
        """)
    assert python("""
        import importlib.util, os, sys
        import resnest._import_hook
        assert importlib.util.find_spec('mxnet') and importlib.util.find_spec('no_such_module') is None
        assert 'numpy' not in sys.modules and 'resnest.runtime' not in sys.modules
        assert 'OMP_NUM_THREADS' not in os.environ
        import mxnet
        print(mxnet.float_.__name__, mxnet.bool_is, mxnet.threads == os.environ['OMP_NUM_THREADS'] >= '1')
        """, path=[tmp_path]) == 'float64 True True'


def test_mxnet_works_in_a_process_that_knows_nothing_of_resnest():
    assert python("""
        import resnest._import_hook     # what the .pth file does
        import mxnet as mx, numpy as np
        a = np.arange(6, dtype='float32').reshape(2, 3)
        print((mx.nd.array(a).T.asnumpy() == a.T).all())
        """) == 'True'


def test_a_missing_mxnet_names_the_remedy():
    message = python("""
        from resnest.runtime import import_mxnet
        try:
            import_mxnet()
        except ImportError as error:
            print(error)
        """, '-S')
    assert re.match(r'mxnet is not installed: pip install --no-deps mxnet==1\.9\.1', message)


def test_a_module_that_mxnet_lacks_is_not_taken_for_mxnet(tmp_path):
    write(tmp_path / 'mxnet/__init__.py', 'import no_such_dependency')
    message = python("""
        from resnest.runtime import import_mxnet
        try:
            import_mxnet()
        except ModuleNotFoundError as error:
            print(error)
        """, path=[tmp_path])
    assert message == "No module named 'no_such_dependency'"


@pytest.mark.parametrize('library, gpu_build, remedy', [
    ('libgomp.so.1', False, 'apt-get install libgomp1'),
    ('libcuda.so.1', True, 'install the NVIDIA driver'),
    ('libcudnn.so.8', True, r"pip install -c constraints.txt '\.\[cu112\]'"),
    ('libopenblas.so.0', False, '--force-reinstall mxnet==1.9.1'),
])
def test_a_missing_library_names_the_remedy(tmp_path, library, gpu_build, remedy):
    write(tmp_path / 'mxnet/__init__.py', f'raise OSError("{library}: cannot open shared object file")')
    if gpu_build:
        write(tmp_path / 'mxnet_cu112-1.9.1.dist-info/METADATA', 'Name: mxnet-cu112\nVersion: 1.9.1\n')
    message = python("""
        from resnest.runtime import import_mxnet
        try:
            import_mxnet()
        except ImportError as error:
            print(error)
        """, path=[tmp_path])
    assert library in message
    assert re.search(remedy, message)


def test_an_absent_extra_is_named():
    with pytest.raises(ImportError, match='no_such_thing is not installed: pip install no_such_thing$'):
        runtime.import_extra('no_such_thing.part')
    assert runtime.import_extra('json.decoder').__name__ == 'json.decoder'


def test_numpy_names_compute_what_they_did():
    """Removed here by hand where numpy still has them, so that the stand-ins are what is tested."""
    assert python("""
        import numpy as np
        for name in ('float_', 'in1d', 'asfarray', 'msort', 'product', 'alltrue', 'row_stack', 'NINF', 'pmt'):
            vars(np).pop(name, None)
        if hasattr(np, 'trapezoid'):        # the new name, of numpy 2
            vars(np).pop('trapz', None)
        kept = np.round_ = lambda x: 'kept'
        from resnest.compatibility import restore_numpy_names
        restore_numpy_names()
        a = np.array([[3, 1], [2, 4]])
        assert np.float_ is np.float64 and np.NINF == -float('inf') and np.round_ is kept
        assert np.in1d([1, 2], [2]).tolist() == [False, True]
        assert np.asfarray([1, 2]).dtype == 'float64' and np.asfarray([1, 2], 'float32').dtype == 'float32'
        assert np.asfarray([1, 2], 'int8').dtype == 'float64'
        assert np.msort(a).tolist() == [[2, 1], [3, 4]]
        assert np.trapz([1, 2, 3]) == 4 and np.product([2, 3]) == 6 and not np.alltrue([1, 0])
        assert np.row_stack([[1], [2]]).shape == (2, 1)
        try:
            np.pmt(0.1, 1, 1)
        except RuntimeError as error:       # numpy 1.x has a stand-in of its own
            print('use numpy_financial' in str(error) or 'numpy_financial library' in str(error))
        """) == 'True'
