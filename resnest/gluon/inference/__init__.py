"""Use of a trained network."""
from .class_names import class_names
from .classify import classify, format_table
from .evaluate import evaluate
from .explain import explain
from .explain_picture import explain_pictures
from .figure import FIGURE_FORMATS, require_figure
from .fold import fold
from .optimize import optimize
from .optimized import OptimizedNet, load

__all__ = ['FIGURE_FORMATS', 'OptimizedNet', 'class_names', 'classify', 'evaluate', 'explain', 'explain_pictures',
           'fold', 'format_table', 'load', 'optimize', 'require_figure']
