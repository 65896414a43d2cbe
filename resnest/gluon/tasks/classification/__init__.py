"""Image classification: train, verify, name what is in pictures, and explain it."""
from .evaluation import evaluate
from .explanations.drawing import explain_pictures
from .explanations.explaining import explain
from .names import class_names
from .prediction import classify, format_table

__all__ = ['class_names', 'classify', 'evaluate', 'explain', 'explain_pictures', 'format_table']
