"""Networks of other frameworks as contenders of the benchmark: OpenVINO on our ONNX file, timm's in compiled PyTorch.

They may live in an environment without mxnet, so nothing of this package is imported here: contender.py runs this file
by its path.
"""

__all__ = ['TIMM', 'make', 'prepare']

# Names of ours → timm's of the same architecture.
TIMM = {'resnest14': 'resnest14d', 'resnest26': 'resnest26d', 'resnest50': 'resnest50d', 'resnest101': 'resnest101e',
        'resnest200': 'resnest200e', 'resnest269': 'resnest269e', 'resnest50_fast_1s4x24d': 'resnest50d_1s4x24d',
        'resnest50_fast_4s2x40d': 'resnest50d_4s2x40d'}
PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16'}


def make(settings):
    """A function that takes a batch through the network, or a step of training, and such a batch."""
    if settings['implementation'] == 'openvino':
        return openvino(settings)
    return (training if settings['mode'] == 'training' else inference)(settings)


def prepare(settings):
    """Write OpenVINO's int8 network, quantized by nncf, to ``settings['files']`` with ``.xml``.

    It is calibrated on one random batch, as ours is, and by the preset for speed (symmetric activations).
    """
    import nncf
    from openvino import save_model
    model = read(settings['source'], settings)
    quantized = nncf.quantize(model, nncf.Dataset([images(settings)]), preset=nncf.QuantizationPreset.PERFORMANCE,
                              subset_size=1)
    save_model(quantized, settings['files'] + '.xml', compress_to_fp16=False)


def images(settings):
    import numpy as np
    size = settings['image_size']
    shape = settings['batch_size'], 3, size, size
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def read(path, settings):
    """An OpenVINO model whose batch and sides are fixed, which its kernels are the faster for."""
    from openvino import Core
    with open(path, 'rb') as opened:
        model = Core().read_model(opened.read())
    model.reshape(list(images(settings).shape))
    return model


def openvino(settings):
    """One request at a time on all threads; what an int8 network leaves is in the precision that OpenVINO chooses."""
    from openvino import Core
    options = {'INFERENCE_NUM_THREADS': settings['threads'], 'NUM_STREAMS': 1, 'PERFORMANCE_HINT': 'LATENCY'}
    if settings['precision'] == 'int8':
        model = Core().read_model(settings['files'] + '.xml')
    else:
        model = read(settings['files'], settings)
        options['INFERENCE_PRECISION_HINT'] = PRECISIONS[settings['precision']]
    request = Core().compile_model(model, 'CPU', options).create_infer_request()
    return lambda x: request.infer([x], share_inputs=True), images(settings)


def timm_network(settings):
    """timm's network with random weights and a batch of images, channels last.

    Raises ValueError where it has not as many parameters as ours.
    """
    import timm
    import torch
    torch.set_num_threads(settings['threads'])
    torch.manual_seed(0)
    net = timm.create_model(TIMM[settings['model']])
    count = sum(weight.numel() for weight in net.parameters())
    if count != settings['parameters']:
        raise ValueError(f"timm's {TIMM[settings['model']]} has {count} parameters, ours {settings['parameters']}")
    return [each.to(memory_format=torch.channels_last) for each in (net, torch.from_numpy(images(settings)))]


def inference(settings):
    """Compiled, the weights frozen into the code."""
    import torch
    net, x = timm_network(settings)
    net = torch.compile(net.eval(), options={'freezing': True})
    bfloat16 = settings['precision'] == 'bfloat16'

    def step(x):
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
            net(x)

    step(x)     # compiles
    return step, x


def training(settings):
    """Forward and backward compiled, in bfloat16 by autocast, and the update of all parameters by one fused call."""
    import torch
    net, x = timm_network(settings)
    net = torch.compile(net.train())
    labels = torch.zeros(settings['batch_size'], dtype=torch.int64)
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True, fused=True)
    bfloat16 = settings['precision'] == 'bfloat16'

    def step(x):
        with torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
            logits = net(x)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step(x)     # compiles
    return step, x
