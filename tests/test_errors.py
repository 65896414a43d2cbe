"""Exit codes and messages of commands, seen from outside the process."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(body, **kwargs):
    code = f'from resnest.errors import *\ndef main():\n    {body}\nrun_command(main)'
    return subprocess.run([sys.executable, '-S', '-c', code], cwd=ROOT, capture_output=True, text=True, **kwargs)


@pytest.mark.parametrize('body, code, message', [
    ('return None', 0, ''),
    ('return 3', 3, ''),
    ('raise InputError("--size is 0: give 32 or more")', 2, 'error: --size is 0: give 32 or more\n'),
    ('raise MissingPackage("onnx is not installed")', 2, 'error: onnx is not installed\n'),
    ('open("no/such.rec")', 2, 'error: no/such.rec: No such file or directory\n'),
    ('raise KeyboardInterrupt', 130, 'interrupted\n'),
])
def test_exit_code_and_message(body, code, message):
    result = run(body)
    assert (result.returncode, result.stderr) == (code, message)


@pytest.mark.parametrize('body', ['raise ValueError("defect")', 'raise OSError("defect")', 'import no_such_module'])
def test_a_defect_keeps_its_traceback(body):
    result = run(body)
    assert result.returncode == 1
    assert 'Traceback' in result.stderr


def test_what_a_terminal_cannot_show_is_spelled_out():
    result = run(r'print("caf\xe9 \udcff")', env={**os.environ, 'PYTHONIOENCODING': 'ascii'})
    assert (result.returncode, result.stdout) == (0, 'caf\\xe9 \\udcff\n')


def test_a_closed_pipe_is_no_defect():
    reader, writer = os.pipe()
    os.close(reader)
    code = 'from resnest.errors import *\nrun_command(lambda: print("x" * 100000))'
    result = subprocess.run([sys.executable, '-S', '-c', code], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b'')
