"""People keep their slots: through shuffled detections, a crossing, leaving and coming back."""

from dataclasses import replace

import numpy as np
import pytest

from animatex_core.pose.keypoints import PoseSequence, empty
from animatex_core.pose.tracks import select_person, track_people

FRAMES, WIDTH, HEIGHT = 80, 640, 480


def person(x, y, size, seed):
    """A person of random pose who walks along x(t), y(t): [F, 130, 2]."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(-0.5, 0.5, (130, 2)) * (0.6, 1) * size
    sway = rng.normal(0, 0.01 * size, (FRAMES, 130, 2))
    return shape + sway + np.stack([x, y], -1)[:, None]


def crowd(*people):
    points = np.stack(people, 1).astype(np.float32)
    return PoseSequence(points, np.ones(points.shape[:3], np.float32), WIDTH, HEIGHT, 25.0)


def shuffled(poses, seed=0):
    """The slots of every frame in random order, as detectors give them."""
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((len(poses), poses.people)), axis=1)
    rows = np.arange(len(poses))[:, None]
    return replace(poses, points=poses.points[rows, order], scores=poses.scores[rows, order])


def still(value):
    return np.full(FRAMES, float(value))


def same_people(result, truth):
    """The tracked slot of every true person, if each is in one slot all along."""
    slots = []
    for i in range(truth.people):
        seen = truth.present[:, i].any(-1)
        match = [
            s for s in range(result.people)
            if np.array_equal(result.points[seen, s], truth.points[seen, i]) and result.present[seen, s].any()
        ]  # fmt: skip
        slots.append(match[0] if match else None)
    return slots


def test_shuffled_slots_are_sorted_out_and_the_main_person_is_first():
    truth = crowd(person(still(150), still(240), 100, 1), person(still(450), still(240), 300, 2))
    result, change = track_people(shuffled(truth))
    assert same_people(result, truth) == [1, 0]
    assert change.points > 0 and change.note == "2 people, seen in 80, 80 of 80 frames"


def test_two_people_crossing_keep_their_slots():
    x = np.linspace(60, 580, FRAMES)
    truth = crowd(person(x, still(240), 220, 3), person(x[::-1], still(250), 220, 4))
    slots = same_people(track_people(shuffled(truth))[0], truth)
    assert sorted(slots) == [0, 1]


def test_twins_crossing_are_told_apart_by_where_they_were_going():
    x = np.linspace(60, 580, FRAMES)
    truth = crowd(person(x, still(240), 220, 3), person(x[::-1], still(244), 220, 3))
    assert sorted(same_people(track_people(shuffled(truth))[0], truth)) == [0, 1]


def test_one_hidden_behind_the_other_during_the_crossing():
    x = np.linspace(60, 580, FRAMES)
    truth = crowd(person(x, still(240), 220, 3), person(x[::-1], still(250), 220, 4))
    scores = truth.scores.copy()
    scores[36:44, 1] = 0
    truth = replace(truth, scores=scores)
    result, _ = track_people(shuffled(truth))
    assert result.people == 2
    assert sorted(same_people(result, truth)) == [0, 1]


def test_a_person_who_leaves_and_comes_back_elsewhere_is_the_same():
    x = np.concatenate([np.linspace(300, 620, 30), np.linspace(-40, 120, 50)])
    truth = crowd(person(x, still(240), 200, 5), person(still(420), still(240), 260, 6))
    scores = truth.scores.copy()
    scores[28:60, 0] = 0
    truth = replace(truth, scores=scores)
    result, change = track_people(shuffled(truth))
    assert result.people == 2 and same_people(result, truth) == [1, 0]
    assert change.note == "2 people, seen in 80, 48 of 80 frames"


@pytest.mark.parametrize(("order", "first"), [("main", 1), ("largest", 1), ("central", 2), ("left", 0), ("right", 1)])
def test_who_comes_first(order, first):
    truth = crowd(
        person(still(80), still(240), 150, 7),
        person(still(560), still(240), 300, 8),
        person(still(330), still(240), 100, 9),
    )
    result, change = select_person(shuffled(truth), order)
    assert result.people == 1
    np.testing.assert_array_equal(result.points[:, 0], truth.points[:, first])
    assert f"the {order} of 3, seen in 80 of 80" in change.note
    with pytest.raises(ValueError, match="unknown order of people 'oldest'"):
        track_people(truth, "oldest")


def test_a_slot_by_number_is_taken_as_it_stands():
    truth = crowd(person(still(80), still(240), 150, 7), person(still(560), still(240), 300, 8))
    result, change = select_person(truth, 1)
    np.testing.assert_array_equal(result.points[:, 0], truth.points[:, 1])
    assert change.note == "slot 1 of 2"
    with pytest.raises(ValueError, match="person 2 asked for"):
        select_person(truth, 2)


def test_a_passer_by_does_not_disturb():
    truth = crowd(person(still(300), still(240), 250, 10), person(np.linspace(-50, 690, FRAMES), still(200), 120, 11))
    scores = truth.scores.copy()
    scores[:20, 1] = scores[60:, 1] = 0
    result, _ = select_person(shuffled(replace(truth, scores=scores)))
    np.testing.assert_array_equal(result.points[:, 0], truth.points[:, 0])


def test_bad_points_and_nobody():
    for poses in (empty(5, 9, 9, people=3), empty(0, 9, 9, people=2), empty(5, 9, 9, people=0)):
        result, _ = track_people(poses)
        assert len(result) == len(poses) and not result.present.any()
        assert select_person(poses)[0].people == 1
    truth = crowd(person(still(80), still(240), 150, 7), person(still(560), still(240), 300, 8))
    points = truth.points.copy()
    points[::3, :, ::2] = np.nan
    points[1::3, :, 1::2] = np.inf
    result, _ = track_people(replace(truth, points=points))
    assert result.people == 2
