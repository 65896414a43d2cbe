"""Which C++ compiler builds Horovod and the native operators."""
import os
import shlex
import shutil

from resnest.errors import MissingPackage

__all__ = ['find_compilers']

COMPILERS = ('g++', *(f'g++-{release}' for release in range(14, 8, -1)))


def find_compilers():
    """The C++ compilers that are there, the best first, each as a list of words, such as ``['ccache', 'g++']``.

    The one of ``CXX`` alone where it is set, and otherwise those of Debian's and Ubuntu's names. Raises MissingPackage
    where there is none.
    """
    given = os.environ.get('CXX')
    try:
        commands = [shlex.split(given)] if given else [[name] for name in COMPILERS]
    except ValueError:      # a quotation mark without its other
        commands = []
    found = [words for words in commands if words and shutil.which(words[0])]
    if not found:
        raise MissingPackage(f'CXX={given} names no C++ compiler: unset it, or name one' if given else
                             'no C++ compiler: apt-get install g++ make')
    return found
