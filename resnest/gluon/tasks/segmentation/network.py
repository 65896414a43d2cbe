"""The segmentation network: a dilated backbone of the zoo, a head, and an auxiliary head on the stage before."""
from types import SimpleNamespace

import numpy as np
from mxnet.gluon import HybridBlock, nn

from resnest.gluon.models import Features
from resnest.gluon.models.resnet import check_images, shown_options
from resnest.gluon.models.weights.known import renewed
from resnest.gluon.mxnet_private import child_names

from .describing import described
from .heads import DeepLabHead, FCNHead
from .resizing import Resize

__all__ = ['Prediction', 'SegmentationNet']

AUXILIARY = 'auxlayer'
OTHERS = (AUXILIARY, 'resize')


class SegmentationNet(Features):
    """DeepLabV3 or FCN; takes ``(N, in_channels, H, W)``, returns ``(logits, auxiliary logits)``, for training.

    Both are ``(N, classes, height, width)`` and float32, whatever the image's size: those of the training crops, as in
    gluoncv. :meth:`predict` gives logits at the size of any image. The children ``conv1 … layer4`` are the
    backbone's, ``head`` and ``auxlayer`` come after it; the parameters' names are those of gluoncv's files.

    Parameters
    ----------
    backbone : ResNet
        Of the dilation that the row's output stride asks for; its children move into this block.
    spec : SegmentationSpec
        Row of the table; it stays at hand as ``net.spec``.
    aux : bool
        Whether there is an auxiliary head, on ``layer3``; without it ``(logits,)`` is returned.
    height, width : int
        Of the logits, ``spec.crop_size`` unless given.
    norm_layer : type
    norm_kwargs : dict
        Of the heads.

    ``classifiers`` names the layers that depend on the classes.
    """

    def __init__(self, backbone, spec, aux=True, height=None, width=None, norm_layer=nn.BatchNorm, norm_kwargs=None,
                 **kwargs):
        super().__init__(backbone, (3, 4), **kwargs)
        self.backbone, self.spec, self.dilation = backbone.spec, spec, backbone.dilation
        self.height, self.width = height or spec.crop_size, width or spec.crop_size
        rates = tuple(max(1, rate * 8 // spec.output_stride) for rate in spec.rates)
        norm = dict(norm_layer=norm_layer, norm_kwargs=norm_kwargs)
        with self.name_scope():
            self.head = FCNHead(self.channels[1], spec.classes, **norm) if spec.head == 'fcn' else DeepLabHead(
                self.channels[1], spec.classes, rates, spec.head_channels, **norm)
            self.auxlayer = FCNHead(self.channels[0], spec.classes, **norm) if aux else None
        self.classifiers = ('head.block.4', *([f'{AUXILIARY}.block.4'] if aux else []))
        if not aux:
            self.omitted += (AUXILIARY,)        # a file may have one
        self.resize = Resize(self.height, self.width)
        self._half = False
        self._made = SimpleNamespace(prediction=None)       # it is no child
        self.description = None
        self._hybridized = (False, {})

    def __repr__(self):
        return f'SegmentationNet({shown_options(self)}, aux={self.auxlayer is not None})'

    def hybrid_forward(self, F, x):
        before, last = super().hybrid_forward(F, x)
        outputs = [self.head(last)]
        if self.auxlayer is not None:
            outputs.append(self.auxlayer(before))
        return tuple(self.resize(_whole(F, logits, self._half)) for logits in outputs)

    def predict(self, x):
        """Logits ``(N, classes, H, W)``, float32, of images ``(N, in_channels, H, W)`` of any height and width.

        As gluoncv's ``predict``, ``evaluate`` and ``demo``, the network sees the image as it is, and its logits are
        resized to the image; gluoncv's sets its sizes for that, and so one network cannot be hybridized for several.
        """
        return self.prediction(x)

    @property
    def prediction(self):
        """The :class:`Prediction` that :meth:`predict` calls: for ``optimize``, exporting, and normalization."""
        if self._made.prediction is None:
            active, settings = self._hybridized
            self._made.prediction = Prediction(self, self._half)
            self._made.prediction.hybridize(active, **settings)
        self._made.prediction.description = self.description
        return self._made.prediction

    def hybridize(self, active=True, **kwargs):
        self._hybridized = (active, kwargs)
        self._made.prediction = None
        super().hybridize(active, **kwargs)

    def cast(self, dtype):
        self._half = np.dtype(dtype).itemsize < 4
        self._made.prediction = None
        super().cast(dtype)

    def apply(self, fn):
        if self._made.prediction is not None:       # what is traced anew is so in both
            fn(self._made.prediction)
            fn(self._made.prediction.resize)
        return super().apply(fn)


class Prediction(HybridBlock):
    """The main logits of a :class:`SegmentationNet` at the size of the image.

    Takes ``(N, in_channels, H, W)``, returns ``(N, classes, H, W)``. It shares the children of the network, all but the
    auxiliary head, and has its ``spec``, ``in_channels``, ``classifiers`` and ``description``. Raises InputError for
    what is no batch of such images, and where they are too small for the stages.
    """

    omitted = (AUXILIARY,)

    def __init__(self, net, half=False, **kwargs):
        super().__init__(**kwargs)
        self.spec, self.in_channels, self.classifiers = net.spec, net.in_channels, net.classifiers[:1]
        self.smallest, self.backbone, self.description = net.smallest, net.backbone, net.description
        self._names = [name for name in child_names(net) if name not in OTHERS]     # each reads the one before it
        for name in self._names:
            setattr(self, name, getattr(net, name))
        self.resize = Resize()
        self.resize.native = net.resize.native
        self._half = half

    def as_described(self):
        """The :class:`resnest.gluon.models.weights.description.Description` of the network as it is."""
        return renewed(self.description, described(self))

    def forward(self, x, *args):
        check_images(x, self)
        return super().forward(x, *args)

    def hybrid_forward(self, F, x):
        logits = x
        for name in self._names:
            logits = getattr(self, name)(logits)
        return self.resize(_whole(F, logits, self._half), _whole(F, x, self._half))


def _whole(F, x, half):
    """``x`` in float32: positions of large images are no whole numbers in half precision."""
    return F.cast(x, 'float32') if half else x
