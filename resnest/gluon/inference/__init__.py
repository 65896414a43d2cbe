"""Use of a trained network."""
from .class_names import class_names
from .classify import classify, format_table
from .evaluate import evaluate
from .explain import explain
from .explain_picture import explain_pictures

__all__ = ['class_names', 'classify', 'evaluate', 'explain', 'explain_pictures', 'format_table']
