"""The job files of docs/clusters.md: what they do with exit codes, and that they speak of what the code knows."""
import re
import subprocess

import pytest
import yaml

from resnest.errors import EXIT_AGAIN
from resnest.launchers import VARIABLES

from ..conftest import ROOT
from ..documents import blocks, parse

*_, SLURM, KUBERNETES, HOROVODRUN = blocks(ROOT / 'docs/clusters.md')


@pytest.fixture
def cluster(tmp_path):
    """A function that runs a script where ``srun`` and ``horovodrun`` end with a code; returns its code and what
    ``scontrol`` was told."""
    def run(text, code, restarts=0):
        for name, body in (('srun', f'exit {code}'), ('horovodrun', f'echo try >>"{tmp_path}/told"; exit {code}'),
                           ('scontrol', f'echo "$@" >>"{tmp_path}/told"'), ('sleep', 'true')):
            (tmp_path / name).write_text(f'#!/bin/sh\n{body}\n')
            (tmp_path / name).chmod(0o755)
        (tmp_path / 'told').write_text('')
        result = subprocess.run(['bash', '-u', '-c', text], capture_output=True, text=True, check=False, env={
            'PATH': f'{tmp_path}:/usr/bin:/bin', 'SLURM_CPUS_PER_TASK': '12', 'SLURM_JOB_ID': '17',
            'SLURM_RESTART_COUNT': str(restarts)})
        assert result.stderr == ''
        return result.returncode, (tmp_path / 'told').read_text().splitlines()
    return run


@pytest.mark.parametrize('code, again', [(0, False), (1, False), (2, False), (EXIT_AGAIN, True), (137, True)])
def test_the_batch_script_goes_back_into_the_queue(cluster, code, again):
    assert cluster(SLURM.text, code) == (code, ['requeue 17'] if again else [])
    assert cluster(SLURM.text, code, restarts=50) == (code, [])


def test_the_batch_script_asks_for_what_it_speaks_of():
    asked = dict(re.findall(r'^#SBATCH --([\w-]+)=?(\S*)$', SLURM.text, re.MULTILINE))
    assert SLURM.text.count('#SBATCH') == len(asked) == 10
    assert asked['signal'].startswith('USR1@')
    assert 'requeue' in asked
    assert asked['ntasks-per-node'] == asked['gpus-per-node']


def test_horovodrun_is_tried_again(cluster):
    assert len(cluster(HOROVODRUN.text, 1)[1]) == 5
    assert len(cluster(HOROVODRUN.text, 0)[1]) == 1


def test_the_manifest_of_kubernetes():
    service, job = yaml.safe_load_all(KUBERNETES.text)
    spec, pod = job['spec'], job['spec']['template']['spec']
    container, = pod['containers']
    parse(container['command'])
    given = {each['name']: each['value'] for each in container['env']}
    assert given.keys() <= {*VARIABLES}
    assert int(given['WORLD_SIZE']) == spec['completions'] == spec['parallelism']
    assert spec['completionMode'] == 'Indexed'
    name = service['metadata']['name']
    assert given['MASTER_ADDR'] == f'{job["metadata"]["name"]}-0.{name}'
    assert (pod['subdomain'], service['spec']['selector']) == (name, {'job-name': job['metadata']['name']})
    codes = {rule['onExitCodes']['values'][0]: rule['action'] for rule in spec['podFailurePolicy']['rules']
             if 'onExitCodes' in rule}
    assert codes == {2: 'FailJob', EXIT_AGAIN: 'Ignore'}
    assert pod['restartPolicy'] == 'Never'      # which a podFailurePolicy wants
    assert {each['name'] for each in container['volumeMounts']} == {each['name'] for each in pod['volumes']}
