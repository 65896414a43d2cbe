"""Every command and snippet of the README and docs/*.md, by the rules of tests/documents.py."""
import os
import re

import pytest

from resnest.errors import InputError

from .conftest import HOROVODRUN, ROOT, command
from .documents import BLOCKS, PAGES, World, blocks, commands, left_over, parse

# What a block's output must show, by a word of it, besides that it runs.
WANTED = {
    'runs/digits/best.params': r'resnest14: top-1 (9[789]\.\d\d|100\.00) %',
    'runs/own/best.params': r'resnest14: top-1 (8|9|10)\d\.\d\d %',
    'resnest env': r'mxnet',
    "list_models('*fast*')": r'resnest50_fast_1s1x64d',
    'list_models(pretrained=True)': r'resnest50_fast_1s4x24d',
    '--explain': r'explain\.png: what the network looked at',
}
BASH = [block for block in BLOCKS if block.language == 'bash']
RUN = [pytest.param(block, marks=pytest.mark.slow) if block.slow else block for block in BASH if not block.parsed_only]
PYTHON = [[block for block in BLOCKS if block.language == 'python' and block.page == page.name] for page in PAGES]
PYTHON = [pytest.param(program, id=program[0].page,
                       marks=[pytest.mark.slow] if any(block.slow for block in program) else [])
          for program in PYTHON if program]


@pytest.fixture(scope='session')
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp('world'))


def check_output(text, output):
    for word, wanted in WANTED.items():
        if word in text:
            assert re.search(wanted, output), output


@pytest.mark.parametrize('block', BASH, ids=str)
def test_options_are_known(block):
    """Each command or script is there and parses its options; each target of make is there."""
    assert block.mark == '' or block.mark.startswith(('slow', 'parsed only: ', 'shortened: ')), block.mark
    for words in commands(block.text):
        if words[0] == 'make':
            listed = command('make', 'help', cwd=ROOT).stdout
            assert all(f'make {target} ' in listed for target in words[1:] if '=' not in target), words
        else:
            parse(words)


@pytest.mark.parametrize('block', RUN, ids=str)
def test_commands_run(block, world, tmp_path):
    text = '\n'.join(line for line in block.runnable.splitlines() if not re.match(r'make|git|source|pip', line))
    text = re.sub(' (scripts|configs)/', rf' {ROOT}/\1/', text.replace('.venv/bin/', ''))
    text = text.replace(' --checksum', '')      # the archives are not the official ones
    if not HOROVODRUN.exists():     # no C++ compiler: the rest of the line works alone
        text = re.sub(r'horovodrun (-\w+ \S+ )*', '', text)
    world.furnish(tmp_path, text)
    if '--resume' not in text and re.search(r'(classify|verify|export)\.py|resnest (classify|verify|export)', text):
        world.weights('resnest50')
    path = f'{world.folder / "bin"}:{os.path.dirname(HOROVODRUN)}:{os.environ["PATH"]}'
    result = command('bash', '-euc', text, cwd=tmp_path, timeout=550, PATH=path,
                     PYTHONPATH=os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]))
    assert result.returncode == 0, result.stdout + result.stderr
    check_output(block.text, result.stdout)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize('program', PYTHON)
def test_snippets_run(program, world, tmp_path, monkeypatch, capsys):
    """Those of a page one after another, in one namespace."""
    world.furnish(tmp_path, ''.join(block.text for block in program))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('resnest.gluon.models.weights.store.model_file', lambda spec, root: world.weights(spec.name))
    names = {'__name__': '__main__'}
    for block in program:
        code = compile(block.text, str(block), 'exec')
        if not block.parsed_only:
            exec(code, names)
            check_output(block.text, capsys.readouterr().out)
    assert left_over(tmp_path) == []


def test_blocks_are_of_known_kinds():
    """A command or program in another kind of block would escape the tests above."""
    for block in BLOCKS:
        assert block.language in ('bash', 'python', 'text', 'json', 'yaml', 'mermaid', ''), str(block)
    assert {page.name for page in PAGES} >= {'README.md', 'data.md', 'weights.md', 'architecture.md', 'faq.md'}
    assert len(RUN) >= 5


def test_the_rules(tmp_path):
    (tmp_path / 'a.md').write_text('<!-- parsed only: no ImageNet -->\n```bash\npython a.py \\\n  -b  # c\n```\n'
                                   '```python\nx = 1\n```\n<!-- slow -->\n\n```python\n```\n```\nplain\n```\n'
                                   '```bash\nhorovodrun -np 64 python scripts/gluon/train.py\n```\n')
    found = blocks(tmp_path / 'a.md')
    assert [block.language for block in found] == ['bash', 'python', 'python', '', 'bash']
    assert [block.parsed_only for block in found] == [True, False, False, False, True]
    assert [block.slow for block in found] == [False, False, True, False, True]
    assert commands(found[0].text) == [['python', 'a.py', '-b']]
    parse(['python', 'scripts/gluon/verify.py', '--rec-dir', 'nowhere'])
    for words in (['--rec-dir', 'a', '--nonsense'], ['--crop-size', 'large', '--rec-dir', 'a']):
        with pytest.raises(InputError):
            parse(['horovodrun', '-np', '2', 'python', 'verify.py', *words])
    with pytest.raises(AssertionError, match='no such script'):
        parse(['python', 'scripts/gluon/no.py'])
    parse(['horovodrun', '-np', '2', '.venv/bin/resnest', 'train', '--config', 'resnest50', '--rec-train', 'nowhere'])
    with pytest.raises(InputError, match='--crop-size'):
        parse(['resnest', 'verify', '--data-dir', 'a', '--crop-siz', '3'])
    with pytest.raises(AssertionError, match='no such command'):
        parse(['resnest', 'no'])


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_files_exist(page):
    text = page.read_text(encoding='utf-8')
    headings = {re.sub(r'[^\w\- ]', '', line.lstrip('# ').lower()).replace(' ', '-')
                for line in text.splitlines() if line.startswith('#')}
    for target in re.findall(r'\]\(([^)\s]+)\)', text):
        if target.startswith('#'):
            assert target[1:] in headings, target
        elif not target.startswith('http'):
            assert (page.parent / target.partition('#')[0]).exists(), target
    for name in re.findall(r'\b((?:scripts|tests|resnest|configs|docs)/[\w/]+\.(?:py|yaml|md|cc|txt))\b', text):
        assert (ROOT / name).exists(), name
