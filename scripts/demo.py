"""Prepare the digits, train resnest14 on them with two ranks, verify the saved file and explain what it sees.

A minute and a half on two cores.
"""
import json
import subprocess
import sys
import time
from pathlib import Path

from resnest.arguments import Parser, plain_path, whole
from resnest.errors import InputError, run_command

SCRIPTS = Path(__file__).resolve().parent


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('--out', type=plain_path, default=Path('runs/demo'), help='folder for data, weights and curves')
    parser.add_argument('--num-epochs', type=whole(1, 10 ** 6), default=6, help='epochs')
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    rec = options.out / 'rec'
    for old in (*options.out.glob('checkpoint-*.npz'),
                *(options.out / name for name in ('best.params', 'best.json', 'log.jsonl', 'summary.json'))):
        old.unlink(missing_ok=True)     # an earlier demo's
    run(sys.executable, SCRIPTS / 'dataset/prepare_digits.py', '--target-dir', options.out)
    horovodrun = Path(sys.executable).with_name('horovodrun')
    built = subprocess.run([sys.executable, '-c', 'import horovod.mxnet'], capture_output=True).returncode == 0
    ranks = 2 if built and horovodrun.exists() else 1
    if ranks == 1:
        print('note: Horovod is not built here (resnest env says why), so one process trains alone')
    launcher = [horovodrun, '-np', ranks, '-H', f'localhost:{ranks}'] if ranks > 1 else []
    run(*launcher, sys.executable, SCRIPTS / 'gluon/train.py', '--model', 'resnest14', '--rec-train', rec,
        '--input-size', 32, '--crop-ratio', 1, '--augment', 'none', '--batch-size', 64 // ranks,
        '--lr', 0.05 / ranks, '--num-epochs', options.num_epochs, '--warmup-epochs', 1, '--label-smoothing',
        '--last-gamma', '--save-dir', options.out)
    result, weights = options.out / 'verify.json', options.out / 'best.params'
    run(sys.executable, SCRIPTS / 'gluon/verify.py', '--rec-dir', rec, '--resume', weights, '--json', result)
    trained, verified = (json.loads(path.read_text())['top1'] for path in (options.out / 'summary.json', result))
    if abs(trained - verified) > 100 / 297:     # other numbers of threads may round one image differently
        raise InputError(f'{options.out}: training reported {trained:.2f} % top-1, verifying {verified:.2f} %')
    run(sys.executable, SCRIPTS / 'gluon/classify.py', *examples(rec, options.out), '--resume', weights,
        '--top-k', 2, '--explain', options.out / 'explain.png')
    print(f'top-1 {verified:.2f} % on 297 digits after {time.perf_counter() - start:.0f} s; '
          f'curves: {options.out / "curves.png"}, weights: {options.out / "best.params"}; '
          f'what it looked at: {options.out / "explain.png"}')


def examples(rec, out):
    """Four verification digits, written as pictures."""
    from resnest.gluon.data import RecordSet

    records, found = RecordSet(rec, 'val'), {}
    for index in range(len(records)):
        data, label = records[index]
        found.setdefault(label, data)
    paths = [out / f'digit-{label}.png' for label in (2, 3, 5, 8)]
    for path, label in zip(paths, (2, 3, 5, 8)):
        path.write_bytes(found[label])
    return paths


def run(*command):
    """Run a command; its failure ends the demo, since it has said why itself."""
    command = [str(word) for word in command]
    print('$', ' '.join(command), flush=True)
    code = subprocess.call(command)
    if code:
        sys.exit(code)


if __name__ == '__main__':
    run_command(main)
