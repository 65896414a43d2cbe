"""One contender of the benchmark, alone in its process: gets a network, times it, prints one line of JSON.

Run by path (``python contender.py SETTINGS``), so that gluoncv's contender imports mxnet before resnest.gluon does and
really has mxnet's default number of threads, and those of other frameworks need no mxnet. With ``"prepare": true`` it
writes the files that ours, ONNX Runtime or OpenVINO then reads.
"""
import itertools
import json
import resource
import runpy
import sys
import time
from pathlib import Path

__all__ = []


def prepare(settings):
    """Write the optimized network, or the ONNX file, to ``settings['files']``; weights and images are random."""
    net, mx = our_network(settings)
    if settings['implementation'] == 'onnxruntime':
        from resnest.gluon.inference.export.onnx_files import export_onnx
        # Checked on six images, which takes most of the time; a map's network has free sides, so small ones do.
        export_onnx(net, settings['files'], 128 if settings['maps'] else settings['image_size'])
        return
    from resnest.gluon.inference.optimized.optimization import optimize
    x = images(mx, settings)
    calibration = [x] if settings['precision'] == 'int8' else None
    # Random weights agree with nothing: every layer in int8.
    optimize(net, x, settings['precision'], calibration, agreement=0).export(settings['files'])


def our_network(settings):
    from resnest.gluon import get_model
    size = {'height': settings['image_size'], 'width': settings['image_size']} if settings['maps'] else {}
    net = get_model(settings['model'], **size, **({'dropblock_prob': 0.1} if settings['mode'] == 'training' else {}))
    import mxnet as mx
    initialize(net, mx)
    return net, mx


def initialize(net, mx):
    """Random weights; the last scale of each block is small, or the sum of many blocks would overflow."""
    from resnest.gluon.mxnet_private import structural_parameters
    net.initialize(mx.init.MSRAPrelu())
    for name, param in structural_parameters(net).items():
        if name.endswith('bn3.gamma'):
            param.set_data(0.2 * param.data())


def images(mx, settings):
    if settings['boxes']:
        from resnest.gluon.speed.detectors import image_shape
        return mx.nd.random.normal(shape=image_shape(settings))
    size = settings['image_size']
    return mx.nd.random.normal(shape=(settings['batch_size'], 3, size, size))


def gluoncv_network(settings):
    """gluoncv's network, its DropBlock off, which would take half of its training speed."""
    import mxnet as mx
    from gluoncv.model_zoo import get_model
    from gluoncv.nn.dropblock import set_drop_prob
    size = settings['image_size']
    net = get_model(settings['model'], **({'height': size, 'width': size, 'aux': settings['mode'] == 'training',
                                           'pretrained_base': False} if settings['maps'] else {}))
    net.apply(lambda block: set_drop_prob(0, block))
    initialize(net, mx)
    return net, mx


def inference(settings):
    """A function from a batch to its logits, mxnet, and whether the native operators take part."""
    if settings['boxes']:
        return detection(settings)
    if settings['implementation'].startswith('gluoncv'):
        net, mx = gluoncv_network(settings)
        net.hybridize(static_alloc=True, static_shape=True)
        return lambda x: (net(x)[0] if settings['maps'] else net(x)).wait_to_read(), mx, False
    if settings['implementation'] == 'onnxruntime':
        from resnest.gluon.inference.export.onnx_files import OnnxNet
        net, native = OnnxNet(settings['files']), False
    else:
        from resnest.gluon.inference.optimized.network import load
        net = load(settings['files'])
        native = net.native
    import mxnet as mx
    return lambda x: net(x).wait_to_read(), mx, native


def detection(settings):
    """The same, from a picture to its boxes."""
    from resnest.gluon.speed.detectors import gluoncv_detector, our_detector, time_parts
    if settings['implementation'].startswith('gluoncv'):
        net, mx = gluoncv_detector(settings)
        return lambda x: net(x)[2].asnumpy(), mx, False
    made, net, mx = our_detector(settings)

    def step(x):
        return made(x)[2].asnumpy()

    step.parts = lambda x: time_parts(made, net, x)
    return step, mx, made.trunk.native


def training(settings):
    """A function that takes one step on a batch, mxnet, and whether the native operators take part."""
    net, mx = (gluoncv_network if settings['implementation'].startswith('gluoncv') else our_network)(settings)
    native = settings['implementation'] == 'ours, native'
    if native:
        from resnest.errors import InputError
        from resnest.gluon.nn import use_native
        if not use_native(net):
            raise InputError('the native operators are not there')
    if settings['implementation'].startswith('ours'):
        from resnest.gluon.training.methods.rewriting import for_cpu
        net = for_cpu(net, settings['precision'], native)
    net.hybridize(static_alloc=True, static_shape=True)
    loss_of = loss(settings, mx)
    trainer = mx.gluon.Trainer(net.collect_params(), 'nag', {'learning_rate': 1e-3, 'momentum': 0.9, 'wd': 1e-4})

    def step(x):
        with mx.autograd.record():
            found = loss_of(net(x))
        found.backward()
        trainer.step(len(x))
        mx.nd.waitall()

    return step, mx, native


def loss(settings, mx):
    """A function from what a network returns to the loss; each implementation of segmentation has its own."""
    count, size = settings['batch_size'], settings['image_size']
    if not settings['maps']:
        cross_entropy, labels = mx.gluon.loss.SoftmaxCrossEntropyLoss(), mx.nd.zeros(count)
        cross_entropy.hybridize()
        return lambda logits: cross_entropy(logits, labels)
    labels = mx.nd.zeros((count, size, size))
    if settings['implementation'].startswith('gluoncv'):
        from gluoncv.loss import MixSoftmaxCrossEntropyLoss
        mixed = MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=0.5)
        return lambda outputs: mixed(*outputs, labels)
    from resnest.gluon.tasks.segmentation.losses import SegmentationLoss
    ours = SegmentationLoss()
    ours.native = settings['implementation'] == 'ours, native'
    return lambda outputs: ours(outputs[0], labels, outputs[1])


def batches(mx, settings):
    """The same random batch again and again, or decoded and normalized records."""
    if not settings['rec_dir']:
        x = images(mx, settings)
        x.wait_to_read()
        while True:
            yield x
    from resnest.gluon.data import Evaluation, Loader, RecordSet, normalization, preprocessing, training_batches
    records, normalize = RecordSet(settings['rec_dir'], 'val'), normalization()
    from resnest.gluon.models import find_variant
    crop = Evaluation(*preprocessing(find_variant(settings['model']), settings['image_size'], settings['crop_ratio']))
    while True:
        for pixels, _ in Loader(records, crop, training_batches(len(records), settings['batch_size']), 2 ** 31):
            yield normalize(mx.nd.array(pixels, dtype='uint8'))


def main(settings):
    foreign = settings['foreign'] and runpy.run_path(str(Path(__file__).with_name('foreign.py')))
    if settings.get('prepare'):
        (foreign['prepare'] if foreign else prepare)(settings)
        return
    if foreign:
        step, x = foreign['make'](settings)
        ahead, native = itertools.repeat(x), False
    else:
        step, mx, native = (training if settings['mode'] == 'training' else inference)(settings)
        ahead = batches(mx, settings)
    begin = time.perf_counter()
    for _ in range(settings['warmup']):
        step(next(ahead))
        if time.perf_counter() - begin > settings['seconds'] / 4:     # a large step: the first one is warm enough
            break
    seconds = []
    while len(seconds) < settings['steps'] and (len(seconds) < 2 or sum(seconds) < settings['seconds']):
        start = time.perf_counter()
        step(next(ahead))
        seconds.append(time.perf_counter() - start)
    parts = step.parts(next(ahead)) if hasattr(step, 'parts') and settings['batch_size'] == 1 else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({'seconds': seconds, 'peak_memory_mb': round(peak), 'native_operators': native,
                      'parts': parts}))


if __name__ == '__main__':
    sys.path[0] = str(Path(__file__).resolve().parents[3])      # for resnest, and not for this folder's modules
    from resnest.errors import run_command
    run_command(main, json.loads(sys.argv[1]))
