"""The ResNets of the published baselines: a 7×7 stem, and shortcuts of one strided 1×1 convolution (He et al., 2016,
https://arxiv.org/abs/1512.03385)."""
from mxnet.gluon import HybridBlock, nn

from resnest.gluon.models import SMALLEST_IMAGE

__all__ = ['PlainResNet']

EXPANSION = 4


class PlainResNet(HybridBlock):
    """Takes ``(N, 3, H, W)``, returns the outputs of the four stages, strides 4 to 32.

    The children are those of :class:`resnest.gluon.models.Features`. ``blocks`` counts the blocks of the stages;
    ``stride_first`` puts their stride in the first 1×1 convolution, as in the networks that MSRA published, instead of
    the 3×3 one. ``channels`` are those of the outputs.
    """

    def __init__(self, blocks, stride_first=False, norm_layer=nn.BatchNorm, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        norm = dict(norm_layer=norm_layer, norm_kwargs=norm_kwargs or {})
        self.in_channels, self.smallest, channels = 3, SMALLEST_IMAGE, 64
        self.channels = tuple(EXPANSION * width for width in (64, 128, 256, 512))
        with self.name_scope():
            self.conv1 = nn.Conv2D(channels, 7, 2, padding=3, use_bias=False, in_channels=3)
            self.bn1 = norm_layer(in_channels=channels, **norm['norm_kwargs'])
            self.relu = nn.Activation('relu')
            self.maxpool = nn.MaxPool2D(3, 2, padding=1)
            for number, (count, out) in enumerate(zip(blocks, self.channels), 1):
                stage = nn.HybridSequential()
                for place in range(count):
                    strides = 2 if number > 1 and not place else 1
                    stage.add(_Block(out // EXPANSION, channels, strides, stride_first, not place, **norm))
                    channels = out
                setattr(self, f'layer{number}', stage)

    def hybrid_forward(self, F, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outputs = []
        for number in range(1, 5):
            x = getattr(self, f'layer{number}')(x)
            outputs.append(x)
        return tuple(outputs)


class _Block(HybridBlock):
    def __init__(self, width, in_channels, strides, stride_first, project, norm_layer, norm_kwargs, **kwargs):
        super().__init__(**kwargs)
        out = EXPANSION * width
        first, second = (strides, 1) if stride_first else (1, strides)
        with self.name_scope():
            self.conv1 = nn.Conv2D(width, 1, first, use_bias=False, in_channels=in_channels)
            self.bn1 = norm_layer(in_channels=width, **norm_kwargs)
            self.conv2 = nn.Conv2D(width, 3, second, padding=1, use_bias=False, in_channels=width)
            self.bn2 = norm_layer(in_channels=width, **norm_kwargs)
            self.conv3 = nn.Conv2D(out, 1, use_bias=False, in_channels=width)
            self.bn3 = norm_layer(in_channels=out, **norm_kwargs)
            self.relu = nn.Activation('relu')
            self.downsample = None
            if project:
                self.downsample = nn.HybridSequential()
                self.downsample.add(nn.Conv2D(out, 1, strides, use_bias=False, in_channels=in_channels),
                                    norm_layer(in_channels=out, **norm_kwargs))

    def hybrid_forward(self, F, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))
