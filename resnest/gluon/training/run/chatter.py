"""What mxnet's libraries write to stderr, without what tells nobody anything.

No environment variable turns these lines off: they are written whenever an operator is first set up.
"""
import contextlib
import os
import re
import sys

import mxnet as mx

__all__ = ['without_chatter']

# Of average pooling in training: that it takes the algorithm that it should.
CHATTER = re.compile(rb'^\[\d\d:\d\d:\d\d\] \S*: MKLDNN Pooling: training with prop_kind is forward_scoring$')


@contextlib.contextmanager
def without_chatter():
    """Hold back what is written to stderr, by C++ too, until what was begun here has been computed; then write it all
    but for the lines that are known to be of no use, and the empty ones behind them."""
    try:
        terminal = os.dup(2)
    except OSError:         # closed: nobody reads it
        yield
        return
    with open(os.memfd_create('stderr'), 'r+b') as held:
        _flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
            mx.nd.waitall()
        finally:
            _flush()
            os.dup2(terminal, 2)
            held.seek(0)
            told = _useful(held.read())
            if told:
                os.write(terminal, told)
            os.close(terminal)


def _flush():
    if sys.stderr is not None:
        sys.stderr.flush()


def _useful(text):
    lines = text.split(b'\n')
    return b'\n'.join(line for line in lines if not CHATTER.match(line.strip(b'\r'))) if any(lines) else b''
