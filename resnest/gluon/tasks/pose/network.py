"""The pose network: a backbone of the zoo, deconvolutions that double its map, and a heat map for each joint."""
import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from resnest.gluon.models.resnet import check_images, shown_options
from resnest.gluon.models.weights.known import renewed

from .describing import described
from .table import PADDINGS

__all__ = ['PoseNet']

TRUNK = ('conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4')
START = 0.001           # standard deviation of the new weights (Xiao et al., 2018, released code of the paper)


class PoseNet(HybridBlock):
    """SimplePose; takes ``(N, in_channels, H, W)``, returns heat maps ``(N, joints, ⌈H / 32⌉ · 8, ⌈W / 32⌉ · 8)``.

    A heat map is 1 where its joint is, and 0 far from it (:mod:`.heatmaps` has the target and the decoding). The
    children ``resnet``, ``deconv_layers`` and ``final_layer`` and their parameters bear the names of gluoncv's files.

    Parameters
    ----------
    backbone : ResNet
        Its stages move into this block.
    spec : PoseSpec
        Row of the table; it stays at hand as ``net.spec``.
    norm_layer : type
    norm_kwargs : dict
        Of the deconvolutions.

    Raises InputError, when called, for what is no batch of such images.
    """

    classifiers = ('final_layer',)      # the layer that depends on the joints, and how they are called
    class_option = 'joints'

    def __init__(self, backbone, spec, norm_layer=nn.BatchNorm, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        self.spec, self.backbone, self.description = spec, backbone.spec, None
        self.in_channels, self.smallest, self.dilation = backbone.in_channels, backbone.smallest, backbone.dilation
        self.deformable_stages = backbone.deformable_stages
        channels = backbone.spec.widths[-1]
        with self.name_scope():
            self.resnet = nn.HybridSequential()
            self.resnet.add(*(getattr(backbone, name) for name in TRUNK))
            self.deconv_layers = nn.HybridSequential()
            for width, kernel in zip(spec.deconv_filters, spec.deconv_kernels):
                padding, output_padding = PADDINGS[kernel]
                self.deconv_layers.add(
                    nn.Conv2DTranspose(width, kernel, 2, padding, output_padding, use_bias=False, in_channels=channels,
                                       weight_initializer=mx.init.Normal(START)),
                    norm_layer(in_channels=width, **(norm_kwargs or {})), nn.Activation('relu'))
                channels = width
            self.final_layer = nn.Conv2D(spec.joints, 1, in_channels=channels,
                                         weight_initializer=mx.init.Normal(START))

    @property
    def conv1(self):
        """The stem."""
        return self.resnet[0]

    def as_described(self):
        """The :class:`resnest.gluon.models.weights.description.Description` of the network as it is."""
        return renewed(self.description, described(self))

    def forward(self, x):
        check_images(x, self)
        return super().forward(x)

    def hybrid_forward(self, F, x):
        return self.final_layer(self.deconv_layers(self.resnet(x)))

    def __repr__(self):
        return f'PoseNet({shown_options(self)})'

    def __str__(self):
        return super().__repr__()
