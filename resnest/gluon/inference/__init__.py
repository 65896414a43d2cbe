"""Use of a trained network."""
from .evaluate import evaluate

__all__ = ['evaluate']
