"""Prices read, features that know no future, splits that share no day, forecasts and what they are measured by."""

import dataclasses
import functools
import gzip
import io

import numpy as np
import pytest
import torch

from keel.envs.seeding import generator
from keel.networks.backbone import GRUConfig, LSTMConfig, TransformerConfig
from keel.networks.pretraining import forecast, prices, series
from keel.networks.pretraining.learner import FitConfig, Plan
from keel.networks.pretraining.prices import Prices
from keel.networks.pretraining.series import SeriesConfig

CPU = torch.device("cpu")
BACKBONES = [
    GRUConfig(width=16, hidden=()),
    LSTMConfig(width=16, hidden=()),
    TransformerConfig(width=16, layers=1, heads=2, window=8, hidden=()),
]
RETURN = SeriesConfig(window_days=8)
VOLATILITY = SeriesConfig(target="volatility", horizon_days=5, window_days=8)


def make_prices(days=600, seed=0, symbol="A", bar=True, memory=0.0):
    """A random walk; `memory` is what a day's return keeps of the one before."""
    chance = np.random.default_rng(seed)
    change = chance.normal(0, 0.02, days)
    for day in range(1, days):
        change[day] += memory * change[day - 1]
    close = 100 * np.exp(np.cumsum(change))
    opening = close * np.exp(chance.normal(0, 0.005, days))
    high, low = np.maximum(close, opening) * 1.01, np.minimum(close, opening) / 1.01
    rows = np.stack([opening, high, low, chance.integers(1, 10_000, days).astype(float)], axis=1)
    dates = np.datetime64("2001-01-01") + np.arange(days)
    return Prices(symbol, dates, close, close, rows if bar else None)


def until(given, day):
    """The same prices as if the days from `day` on had not come yet."""
    bar = None if given.bar is None else given.bar[:day]
    return Prices(given.symbol, given.date[:day], given.close[:day], given.adjusted[:day], bar)


class TestReading:
    def test_a_full_header_in_any_case_and_order(self):
        lines = io.StringIO(
            "Ticker,Date,Open,High,Low,Close,Volume,Adj Close\n"
            "B,2001-01-03,2,4,1,3,0,1.5\n"
            "A,2001-01-02,2,4,1,3,7,1.5\n"
            "B,2001-01-02,20,40,10,30,70,15\n"
        )
        b, a = prices.read_csv(lines, "x.csv", "x")
        assert (a.symbol, b.symbol) == ("A", "B")
        assert b.date.tolist() == np.array(["2001-01-02", "2001-01-03"], "datetime64[D]").tolist()
        assert b.close.tolist() == [30, 3]
        assert b.adjusted.tolist() == [15, 1.5]
        assert b.bar is not None
        assert b.bar.tolist() == [[20, 40, 10, 70], [2, 4, 1, 0]]

    def test_date_and_close_are_enough(self, tmp_path):
        (tmp_path / "one.csv").write_text("date,close\n2001-01-02 00:00:00,3\n2001-01-03,4\n")
        with gzip.open(tmp_path / "two.csv.gz", "wt") as file:
            file.write("Date,Price\n2001-01-02,5\n")
        (one, two), source = prices.from_folder(tmp_path)
        assert (one.symbol, two.symbol) == ("one", "two")
        assert one.adjusted.tolist() == [3, 4]
        assert one.bar is None
        assert source == f"folder {tmp_path.name}"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("day,open\n2001-01-02,3\n", "x.csv has no column close or price or last; it has: day, open"),
            ("", "no column date"),
            ("date,close\n", "no rows"),
            ("date,close\n2001-01-02,3\n02.01.2001,4\n", "line 3: the date is '02.01.2001'"),
            ("date,close\n2001-01-02,0\n", "line 2: close is '0'"),
            ("date,close\n2001-01-02,null\n", "line 2: close is 'null'"),
            ("date,close\n2001-01-02,nan\n", "line 2: close is 'nan'"),
            ("date,close\n2001-01-02\n", "line 2: close is None"),
            ("date,close\n2001-01-02,1\n2001-01-02,1\n", "line 3: 2001-01-02 comes twice"),
        ],
    )
    def test_files_that_are_not(self, content, message):
        with pytest.raises(ValueError, match=message):
            prices.read_csv(io.StringIO(content), "x.csv", "x")

    def test_without_a_folder_the_sample_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="--task stocks"):
            prices.from_folder(None)
        with pytest.raises(FileNotFoundError, match=r"no files \*.csv"):
            prices.from_folder(tmp_path)
        with pytest.raises(ValueError, match="--task prices"):
            prices.sample(tmp_path)

    def test_the_sample(self):
        pytest.importorskip("bokeh_sampledata")
        shares, _ = prices.sample()
        assert {share.symbol: len(share) for share in shares} == (
            {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
        )
        for share in shares:
            change = series.daily_returns(share)[1:]
            assert (np.diff(share.date) > np.timedelta64(0)).all()
            assert np.abs(change).max() < 0.75  # splits are accounted for: Apple's were two for one


class TestFeatures:
    def test_beside_numbers_by_hand(self):
        close = np.array([100.0, 110, 99, 99, 120, 130, 90])
        adjusted = close / 2
        bar = np.stack([close - 1, close + 1, close - 2, np.full(7, 10.0)], axis=1)
        given = Prices("A", np.arange(7).astype("datetime64[D]"), close, adjusted, bar)
        values, names = series.features(given)
        column = {name: values[:, place] for place, name in enumerate(names)}
        assert column["return"][2] == pytest.approx(np.log(0.9))
        squares = [np.log(130 / 120) ** 2, np.log(120 / 99) ** 2, 0.0, np.log(0.9) ** 2, np.log(1.1) ** 2]
        assert column["week_volatility"][5] == pytest.approx(np.log(np.sqrt(np.mean(squares))), abs=1e-6)
        assert np.isnan(column["week_volatility"][4])  # four returns make no week
        assert column["range"][3] == pytest.approx(np.log(100 / 97))
        assert column["since_opening"][3] == pytest.approx(np.log(99 / 98))

    @pytest.mark.parametrize("bar", [True, False])
    @pytest.mark.parametrize("config", [RETURN, VOLATILITY], ids=lambda config: config.target)
    def test_the_future_changes_no_feature(self, bar, config):
        """What is known at the end of a day is the same whether later days have come, or came otherwise."""
        given = make_prices(bar=bar)
        whole, _ = series.features(given)
        made = series.windows(given, config)
        other = make_prices(seed=9, bar=bar)
        for day in (40, 100, 399):
            np.testing.assert_array_equal(series.features(until(given, day))[0], whole[:day])
            joined = {
                name: np.concatenate([getattr(given, name)[:day], getattr(other, name)[day:]])
                for name in ("close", "adjusted", *(["bar"] if bar else []))
            }
            changed = series.windows(dataclasses.replace(given, **joined), config)
            past = made.date < given.date[day]
            np.testing.assert_array_equal(changed.inputs[past], made.inputs[past])
            np.testing.assert_array_equal(changed.level[past], made.level[past])
            np.testing.assert_array_equal(
                changed.target[made.last < given.date[day]], made.target[made.last < given.date[day]]
            )
            assert (changed.target[past] != made.target[past]).any()  # and the test can fail

    @pytest.mark.parametrize("config", [RETURN, VOLATILITY, dataclasses.replace(VOLATILITY, horizon_days=60)])
    def test_a_forecast_reads_back_to_its_first_day_and_no_further(self, config):
        given = make_prices()
        made = series.windows(given, config)
        row = 20
        for day, read in ((made.first[row], True), (made.first[row] - np.timedelta64(1), False)):
            close = np.where(given.date == day, 2 * given.close, given.close)
            changed = series.windows(dataclasses.replace(given, close=close, adjusted=close), config)
            again = changed.rows(changed.date == made.date[row])
            same = np.array_equal(again.inputs[0], made.inputs[row]) and again.level[0] == made.level[row]
            assert same != read

    def test_targets_are_what_comes(self):
        given = make_prices()
        made = series.windows(given, dataclasses.replace(RETURN, horizon_days=3))
        row = 50
        day = int(np.flatnonzero(given.date == made.date[row])[0])
        assert made.target[row] == pytest.approx(np.log(given.close[day + 3] / given.close[day]))
        assert made.last[row] == given.date[day + 3]
        made = series.windows(given, VOLATILITY)
        day = int(np.flatnonzero(given.date == made.date[row])[0])
        change = np.diff(np.log(given.close), prepend=np.nan)
        after, before = change[day + 1 : day + 6], change[day - 4 : day + 1]
        expected = 0.5 * np.log(np.mean(after**2) / np.mean(before**2))
        assert made.target[row] == pytest.approx(expected, abs=1e-4)


class TestSplit:
    @pytest.mark.parametrize("config", [RETURN, VOLATILITY], ids=lambda config: config.target)
    def test_no_day_serves_two_splits(self, config):
        late, holed = make_prices(200, 1, "B"), make_prices(600, 2, "C")
        late = dataclasses.replace(late, date=late.date + 640)
        holed = dataclasses.replace(holed, date=holed.date[0] + np.arange(600) * 7 // 5)
        train, validation, test = series.split_by_date([make_prices(840), late, holed], config)
        assert train.last.max() < validation.first.min()
        assert validation.last.max() < test.first.min()
        assert set(test.symbol) == {"A", "B", "C"}
        assert "B" not in train.symbol

    def test_scales_come_from_training_alone(self):
        parts = series.split_by_date([make_prices()], RETURN)
        plan = Plan("gru", "stocks", 1, 0, RETURN, None)
        data = series.scaled(parts, plan, "made")
        wild = parts[2]._replace(inputs=parts[2].inputs * 100, target=parts[2].target * 100)
        other = series.scaled((parts[0], parts[1], wild), plan, "made")
        for name in ("center", "spread", "target_unit"):
            assert data.details[name] == other.details[name]
        np.testing.assert_array_equal(data.train.inputs, other.train.inputs)
        flat = parts[0].inputs.reshape(-1, parts[0].inputs.shape[-1])
        assert data.details["center"] == pytest.approx(flat.mean(axis=0).tolist())
        assert np.square(data.train.targets).mean() == pytest.approx(1, rel=1e-5)

    def test_too_few_days(self):
        with pytest.raises(ValueError, match="100 trading days are too few"):
            series.split_by_date([make_prices(100)], RETURN)


class TestLearning:
    def learn(self, given, backbone, epochs=6):
        config = dataclasses.replace(RETURN, fit=FitConfig(batch_size=64, learning_rate=1e-2), dropout=0.0)
        plan = Plan(backbone.kind, "stocks", epochs, 0, config, backbone)
        parts = series.split_by_date([given], config)
        learner = series.learner(series.scaled(parts, plan, "made"), plan, functools.partial(generator, 0), CPU)
        for epoch in range(epochs):
            learner.epoch(epoch)
        return learner

    @pytest.mark.parametrize("backbone", BACKBONES, ids=lambda config: config.kind)
    def test_what_can_be_foretold_is(self, backbone):
        """Returns that keep 0.9 of the one before: 0.81 of their variance is known."""
        skill = self.learn(make_prices(2_500, memory=0.9), backbone).evaluate("test")["skill"]
        assert 0.65 < skill < 0.9

    def test_what_cannot_is_not(self):
        """A random walk: a skill on later days would be a leak."""
        learner = self.learn(make_prices(2_500), BACKBONES[0])
        assert learner.evaluate("test")["skill"] < 0.03

    def test_it_begins_as_the_naive_forecast(self):
        learner = self.learn(make_prices(), BACKBONES[0], epochs=0)
        assert np.abs(learner.predict(learner.data.test.inputs)).max() < 0.05
        assert learner.evaluate("test")["skill"] == pytest.approx(0, abs=0.05)


class TestMeasures:
    def test_metrics_by_hand(self):
        metrics = series.regression_metrics(np.array([1.0, 0.0, -1.0, 2.0]), np.array([2.0, 0.0, 1.0, 2.0]))
        assert metrics["loss"] == pytest.approx(5 / 4)
        assert metrics["mean_absolute_error"] == pytest.approx(3 / 4)
        assert metrics["skill"] == pytest.approx(1 - 5 / 9)
        assert metrics["direction"] == pytest.approx(2 / 3)

    def test_least_squares_finds_the_line(self):
        known = np.random.default_rng(0).normal(size=(200, 3)) * [1, 1e-3, 1e3]
        known[:, 0] = np.arange(200)
        target = 4 + known @ [0.5, 20, -0.01]
        np.testing.assert_allclose(
            forecast.least_squares(known, target, known[:5] + 1), (known[:5] + 1) @ [0.5, 20, -0.01] + 4
        )

    def test_simple_forecasts_use_training_alone_and_find_memory(self):
        parts = series.split_by_date([make_prices(2_000, memory=0.6)], RETURN)
        names = series.features(make_prices())[1]
        made = forecast.simple_forecasts(parts[0], parts[2], names, "return")
        shuffled = parts[2]._replace(target=parts[2].target[::-1])
        again = forecast.simple_forecasts(parts[0], shuffled, names, "return")
        assert all(np.array_equal(made[name], again[name]) for name in made)
        slope = np.polyfit(parts[2].inputs[:, -1, 0], made["linear autoregression"], 1)[0]
        assert slope == pytest.approx(0.6, abs=0.08)
        assert (made["nothing changes"] == 0).all()
        assert made["historical mean"] == pytest.approx(np.full(len(parts[2].date), parts[0].target.mean()))

    def test_historical_mean_of_a_volatility_returns_to_it(self):
        parts = series.split_by_date([make_prices(1_000)], VOLATILITY)
        made = forecast.simple_forecasts(parts[0], parts[2], series.features(make_prices())[1], "volatility")
        assert made["historical mean"] + parts[2].level == pytest.approx(
            np.full(len(parts[2].date), parts[0].level.mean())
        )

    def test_the_interval_of_a_rate_covers_as_often_as_it_says(self):
        covered, count = 0, 100
        for seed in range(count):
            hit = np.random.default_rng(seed).random(300) < 0.6
            _, low, high = forecast.ratio(hit, np.ones(300), np.arange(300), np.random.default_rng(seed))
            covered += low <= 0.6 <= high
        assert covered >= 85  # of 95 expected; blocks of 20 among 300 days are few

    def test_days_that_hang_together_make_it_wider(self):
        chance = np.random.default_rng(0)
        months = np.repeat(chance.random(30) < 0.5, 20).astype(float)
        alone = chance.permutation(months)
        dates = np.arange(600)

        def width(hits):
            _, low, high = forecast.ratio(hits, np.ones(600), dates, np.random.default_rng(1))
            return high - low

        assert width(months) > 2.5 * width(alone)

    def test_symbols_of_a_day_and_seeds_stay_together(self):
        """The same day five times over is still one day."""
        hit = (np.random.default_rng(0).random(400) < 0.5).astype(float)
        once = forecast.ratio(hit, np.ones(400), np.arange(400), np.random.default_rng(1))
        five = forecast.ratio(np.tile(hit, 5), np.ones(2_000), np.tile(np.arange(400), 5), np.random.default_rng(1))
        assert five == pytest.approx(once)

    def test_measured_beside_the_naive_forecast(self):
        change = np.array([1.0, -2.0, 0.0, 4.0])
        measured = forecast.measure(np.array([1.0, 2.0, 1.0, 0.0]), change, np.arange(4), np.random.default_rng(0))
        assert measured.squared_error.value == pytest.approx((0 + 16 + 1 + 16) / 21)
        assert measured.absolute_error.value == pytest.approx((0 + 4 + 1 + 4) / 7)
        assert measured.direction is not None
        assert measured.direction.value == 0.5
        naive = forecast.measure(np.zeros(4), change, np.arange(4), np.random.default_rng(0))
        assert naive.squared_error == (1, 1, 1)
        assert naive.direction is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "volatility"}, "horizon_days is 1: volatility takes two days or more"),
        ({"horizon_days": 0}, "horizon_days is 0"),
        ({"window_days": 0}, "window_days is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        SeriesConfig(**changes)


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_presets(kind):
    plan = series.preset(kind, "stocks")
    assert plan.backbone is not None
    assert plan.backbone.kind == kind
