"""Image classification: train, verify, name what is in pictures, and explain it."""
from .config import ClassificationConfig
from .evaluation import evaluate
from .explanations.drawing import explain_pictures
from .explanations.explaining import explain
from .names import class_names
from .pictures import classify_pictures
from .prediction import classify, format_table
from .training import Classification, train
from .verification import verify

__all__ = ['Classification', 'ClassificationConfig', 'class_names', 'classify', 'classify_pictures', 'evaluate',
           'explain', 'explain_pictures', 'format_table', 'train', 'verify']
