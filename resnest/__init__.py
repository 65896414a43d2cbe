"""ResNeSt: Split-Attention Networks (Zhang et al., 2020) for MXNet Gluon."""
__version__ = '1.0.0'
