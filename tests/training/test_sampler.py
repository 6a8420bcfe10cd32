"""The order of the clips: complete, of one size a batch, and resumable at every batch."""

from collections import Counter
from itertools import islice

import pytest
from animatex_training.sampler import Draws

SIZES = {i: (512, 768) if i % 3 else (768, 512) for i in range(13)} | {40: (640, 640)}


def some(draws, count):
    return list(islice(iter(draws), count))


def test_an_epoch_has_every_clip_and_each_batch_one_size():
    draws = Draws(SIZES, seed=1, batch=2)
    epoch = some(draws, draws.batches)
    assert {d.index for batch in epoch for d in batch} == set(SIZES)
    for batch in epoch:
        assert len(batch) == 2 and len({SIZES[d.index] for d in batch}) == 1
    assert draws.position == (1, 0)


def test_epochs_and_seeds_differ():
    first = Draws(SIZES, seed=1, batch=2)
    one, two = some(first, first.batches), some(first, first.batches)
    assert one != two and one != some(Draws(SIZES, seed=2, batch=2), first.batches)
    seeds = Counter(d.seed for batch in one + two for d in batch)
    assert max(seeds.values()) == 1 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("at", range(1, 20))
def test_going_on_from_a_position_is_as_if_never_stopped(at):
    straight = Draws(SIZES, seed=5, batch=2)
    expected = some(straight, 24)
    before = Draws(SIZES, seed=5, batch=2)
    some(before, at)
    after = Draws(SIZES, seed=5, batch=2)
    after.position = before.position
    assert some(after, 24 - at) == expected[at:]


def test_processes_share_what_one_would_do():
    whole = some(Draws(SIZES, seed=3, batch=4), 6)
    shares = [some(Draws(SIZES, seed=3, batch=2, world=2, rank=rank), 6) for rank in (0, 1)]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_wrong_positions_and_empty_data_are_refused():
    with pytest.raises(ValueError, match="empty"):
        Draws({}, seed=0, batch=1)
    draws = Draws(SIZES, seed=0, batch=2)
    draws.position = (0, 99)
    with pytest.raises(ValueError, match="no batch 99 in epoch 0"):
        next(iter(draws))
