"""The formulas of the scaling model against a ring that is played step by step."""
import numpy as np
import pytest

from resnest.scaling import model as scaling
from resnest.scaling.model import Link
from resnest.scaling.report import compare, forecast_rows, format_forecast, format_measured

from ..conftest import read_json, script


def play(arrays, link, itemsize=4):
    """All-reduce arrays in a ring, message by message; returns the sums, seconds, and the bytes that each sent."""
    ranks = len(arrays)
    parts = [np.array_split(array.copy(), ranks) for array in arrays]
    seconds, sent = 0.0, np.zeros(ranks)
    for phase, add in ((0, True), (1, False)):
        for step in range(ranks - 1):
            messages = []
            for rank in range(ranks):
                part = (rank - step + phase) % ranks
                messages.append(((rank + 1) % ranks, part, parts[rank][part].copy()))
                sent[rank] += messages[-1][2].size * itemsize
            seconds += max(link.latency + message.size * itemsize / link.bandwidth for _, _, message in messages)
            for receiver, part, message in messages:
                parts[receiver][part] = parts[receiver][part] + message if add else message
    return [np.concatenate(each) for each in parts], seconds, sent


@pytest.mark.parametrize('ranks', [1, 2, 3, 4, 8])
@pytest.mark.parametrize('link', [Link.of(10, 50), Link(1e-3, 1e5), Link(0.0, 7.0)])
def test_a_ring_played_step_by_step(ranks, link):
    count = 24 * 5
    arrays = np.random.default_rng(0).integers(0, 100, (ranks, count))
    sums, seconds, sent = play(arrays, link)
    for each in sums:
        np.testing.assert_array_equal(each, arrays.sum(axis=0))
    assert scaling.ring_seconds(4 * count, ranks, link) == pytest.approx(seconds)
    assert scaling.exchanged_bytes(count, ranks) == pytest.approx(sent.max())
    assert scaling.exchanged_bytes(count, ranks, fp16=True) == pytest.approx(sent.max() / 2)


def test_units_of_a_link():
    assert Link.of(8, 3) == Link(pytest.approx(3e-6), pytest.approx(1e9))


def test_the_fit_finds_what_made_the_figures():
    true, cores = Link(2e-3, 4e8), 2
    rows = [(ranks, size, (2 if ranks == 4 else 1) * play(np.ones((ranks, size // 4)), true)[1])
            for ranks in (2, 4) for size in (16, 2 ** 20, 2 ** 23)]
    found = scaling.fit_link(rows, cores)
    assert (found.latency, found.bandwidth) == (pytest.approx(2e-3), pytest.approx(4e8))
    noisy = [(ranks, size, seconds * factor) for (ranks, size, seconds), factor
             in zip(rows, (1.1, 0.9, 1.1, 0.9, 1.1, 0.9))]
    found = scaling.fit_link(noisy, cores)
    assert (found.latency, found.bandwidth) == (pytest.approx(2e-3, rel=0.2), pytest.approx(4e8, rel=0.2))
    for own, other in ((found, Link(1.3e-3, 4e8)), (found, Link(2e-3, 3e8))):
        errors = [sum((factor * scaling.ring_seconds(size, ranks, link) / seconds - 1) ** 2
                      for ranks, size, seconds in noisy for factor in [ranks / 2]) for link in (own, other)]
        assert errors[0] < errors[1]


def test_a_fit_is_never_negative():
    assert scaling.fit_link([(2, 1e6, 1.0), (2, 2e6, 1.0)]).latency == pytest.approx(0.5, rel=0.05)
    found = scaling.fit_link([(2, 1e6, 1.0), (2, 2e6, 3.0)])      # a line through them starts below zero
    assert found.latency == 0
    assert 1e6 / 3 < found.bandwidth < 1e6


def test_a_step():
    assert scaling.step_seconds(3, 2) == 5
    assert scaling.step_seconds(3, 2, hidden=0.5) == 3.5        # 1.5 of the exchange beside the backward pass
    assert scaling.step_seconds(3, 2, hidden=0.9) == 3
    assert scaling.step_seconds(3, 2, input=7) == 7


def test_a_forecast():
    fast, slow = Link.of(100, 5), Link.of(10, 50)
    settings = dict(parameters=27_483_240, batch_size=128, compute=0.4, network=slow, local=fast, per_host=8)
    within, beyond = (scaling.forecast(ranks, **settings) for ranks in (8, 16))
    # 110 MB: 7/8 twice at 12.5 GB/s and 14 messages of 5 µs; 15/16 twice at 1.25 GB/s and 30 of 50 µs.
    assert within['exchange'] == pytest.approx(109.93296e6 * 1.75 / 12.5e9 + 14 * 5e-6)
    assert beyond['exchange'] == pytest.approx(109.93296e6 * 1.875 / 1.25e9 + 30 * 50e-6)
    assert beyond['images_per_second'] == pytest.approx(16 * 128 / (0.4 + beyond['exchange']))
    assert beyond['efficiency'] == pytest.approx(0.4 / beyond['seconds'])
    assert scaling.forecast(1, **settings)['efficiency'] == 1
    starved = scaling.forecast(16, **settings, images_per_second=160)
    assert starved['seconds'] == pytest.approx(0.8)
    assert starved['images_per_second'] == pytest.approx(16 * 160)


def test_the_model_beside_what_was_measured():
    """Two cores, where computing takes 1 s and 1 MB/s flow without delay: the model must meet the figures."""
    parameters = 1_000_000
    cases = []
    for ranks, crowd in ((1, 1), (2, 1), (4, 2)):
        exchange, megabyte, one = (crowd * 2 * (ranks - 1) / ranks * payload / 1e6
                                   for payload in (4 * parameters, 2 ** 20, 8))
        cases.append({'ranks': ranks, 'threads': 1, 'batch_size': 10, 'parameters': parameters, 'compute': crowd,
                      'exchange': exchange, 'megabyte': megabyte, 'round': one, 'step': crowd + exchange, 'cpu': 1.0})
    cases.append({**cases[0], 'threads': 2, 'batch_size': 20, 'step': 1.0})
    found = compare(cases, cores=2)
    assert found['bandwidth'] == pytest.approx(1e6)
    assert found['latency'] < 1e-6
    for case in found['cases'][:3]:
        assert case['model_step'] == pytest.approx(case['step'])
        assert case['model_exchange'] == pytest.approx(case['exchange'])
    assert found['cases'][1]['images_per_second'] == pytest.approx(20 / 5)
    text = format_measured(found)
    assert '| 2 × 1 | 10 | 4.0 | 0.20 | 5000 | 5000 | 1000 | 4000 | 4000 | 1000 |' in text
    assert '2 ranks of one thread reach 0.20 of one rank of 2 threads' in text


def test_the_table_of_a_forecast():
    rows = forecast_rows(ranks=[8, 16], gbits=[10], latency_us=0, per_host=1, local_gbits=1, local_latency_us=0,
                         parameters=12_500_000, images=10, compute_seconds=0.07, hidden=0, input_rate=float('inf'))
    assert [(row['ranks'], row['fp16']) for row in rows] == [(8, False), (16, False), (8, True), (16, True)]
    # 50 MB at 1.25 GB/s: 40 ms, 7/4 of which is 70 ms.
    assert '| 10 | float32 | 8 | 88 | 70.0 | 140 | 571 | 50% |' in format_forecast(rows)


@pytest.mark.slow
def test_measuring_one_rank(tmp_path):
    result = script('gluon/scaling.py', '--measure', 1, '--image-size', 32, '--batch-size', 2, '--steps', 1,
                    '--rounds', 1, '--json', tmp_path / 'scaling.json', OMP_NUM_THREADS='1')
    assert result.returncode == 0, result.stderr
    found = read_json(tmp_path / 'scaling.json')['measured']
    assert found['cases'][0]['parameters'] == 10_611_688
    assert found['cases'][0]['step'] > found['cases'][0]['exchange'] >= 0
    assert found['bandwidth'] is None
