"""Makes ``import mxnet`` work on today's Python and numpy, with all cores, in every process of the environment.

``resnest-mxnet.pth`` imports this module when Python starts. All it does then is to put a finder
in ``sys.meta_path``; the work (:func:`resnest.compatibility.prepare_import`) is done when mxnet is
imported, so programs that never import mxnet pay nothing.
"""
import sys


class _BeforeMXNet:
    """A finder that leaves the finding to the others, and prepares the process before mxnet runs."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != 'mxnet':
            return None
        others = (finder for finder in sys.meta_path if finder is not cls)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def prepare_and_execute(module):
                from resnest.compatibility import prepare_import
                prepare_import()
                execute(module)

            spec.loader.exec_module = prepare_and_execute
        return spec


def register():
    """Put the finder first in ``sys.meta_path``, once."""
    if _BeforeMXNet not in sys.meta_path:
        sys.meta_path.insert(0, _BeforeMXNet)


register()
