"""The optional C++ operators for the CPU, compiled here and loaded as mxnet libraries.

``split_attention`` (split_attention.cc) serves float32 networks in training and inference, ``split_attention_float``,
``split_attention_int8`` and ``winograd_convolution`` those that :func:`resnest.gluon.inference.optimize` makes,
``winograd_training`` and ``add_relu`` any network whose training on a CPU rewrites its graph, ``resize_map`` and
``map_cross_entropy`` segmentation in float32, ``deformable_convolution`` and ``roi_align`` detectors,
``sync_batch_norm`` the training of any network on several ranks; mxnet_operator.h is what they share. A block that has
native operators names their library, ``library``, and uses them while its ``native`` is true.
``colour_matrix`` is no operator but a function for the training images, compiled where a transform
that uses it is made.

``python -m resnest.gluon.nn.native`` compiles them, which ``make setup`` does. Everything works without them: a
network uses them only after :func:`use_native`, and ``RESNEST_NATIVE=0`` in the environment turns them off.
mxnet's extension interface: https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/extend/index.html
"""
from .building import LIBRARIES, build, library
from .loading import available, compile_function, function, load, needed
from .switching import libraries, use_native

__all__ = ['LIBRARIES', 'available', 'build', 'compile_function', 'function', 'libraries', 'library', 'load', 'needed',
           'use_native']
