"""Image classification: train, verify, name what is in pictures, and explain it."""
from .config import ClassificationConfig
from .evaluation import evaluate
from .explanations.drawing import explain_pictures
from .explanations.explaining import explain
from .names import class_names
from .prediction import classify, format_table
from .training import Classification, train

__all__ = ['Classification', 'ClassificationConfig', 'class_names', 'classify', 'evaluate', 'explain',
           'explain_pictures', 'format_table', 'train']
