"""Image classification: train, verify, name what is in pictures, and explain it."""
from .config import ClassificationConfig
from .evaluation import evaluate
from .explanations.explaining import explain
from .names import class_names
from .pictures import classify_pictures
from .prediction import Guess, Prediction, Predictor, format_table
from .training import Classification, train
from .verification import verify

__all__ = ['Classification', 'ClassificationConfig', 'Guess', 'Prediction', 'Predictor', 'class_names',
           'classify_pictures', 'evaluate', 'explain', 'format_table', 'train', 'verify']
