"""Fast inference of ResNeSt and others: optimized graphs in three precisions, and files for other programs."""
from .optimized.network import OptimizedNet, load
from .optimized.optimization import optimize
from .passes.folding import fold

__all__ = ['OptimizedNet', 'fold', 'load', 'optimize']
