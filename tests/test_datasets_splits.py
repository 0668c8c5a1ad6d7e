import numpy as np
import pytest
from dataset_files import dataset_in_memory
from hypothesis import given
from hypothesis import strategies as st

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.splits import Split, default_split, split, split_names
from noisedash.errors import DataError
from noisedash.spec import SplitSpec

FILES = [f"{number:03d}.jpg" for number in range(100)]


def files(parts: Split) -> tuple[set[str], set[str]]:
    return set(parts.train.images.file), set(parts.test.images.file)


@given(seed=st.integers(0, 99), order=st.integers(0, 99))
def test_a_random_split_does_not_depend_on_row_order(seed: int, order: int) -> None:
    dataset = dataset_in_memory(FILES)
    spec = SplitSpec(kind="random", seed=seed)
    parts = split(dataset, spec)
    assert len(parts.train.images) == 80
    assert files(parts)[0] | files(parts)[1] == set(FILES)
    again = split(dataset.subset(np.random.default_rng(order).permutation(100)), spec)
    assert again.train.images.file == parts.train.images.file == tuple(sorted(parts.train.images.file))
    assert again.train.content_hash == parts.train.content_hash


def test_seeds_differ() -> None:
    dataset = dataset_in_memory(FILES)
    assert files(split(dataset, SplitSpec(kind="random"))) != files(split(dataset, SplitSpec(kind="random", seed=1)))


@given(copies=st.lists(st.integers(0, 20), min_size=3, max_size=60), fraction=st.floats(0.05, 0.95))
def test_equal_pictures_stay_on_one_side(copies: list[int], fraction: float) -> None:
    dataset = dataset_in_memory(
        [f"{row}.jpg" for row in range(len(copies))], sha256=[f"{picture:064x}" for picture in copies]
    )
    spec = SplitSpec(kind="random", train_fraction=fraction)
    if len(set(copies)) == 1:
        with pytest.raises(DataError, match="has no two different images"):
            split(dataset, spec)
        return
    parts = split(dataset, spec)
    assert parts.leaked == ()
    assert not set(parts.train.images.sha256) & set(parts.test.images.sha256)
    assert len(parts.train.images) >= 1 <= len(parts.test.images)
    assert len(parts.train.images) + len(parts.test.images) == len(copies)


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["random", "given"]))
def test_limits_are_nested(first: int, second: int, kind: str) -> None:
    dataset = dataset_in_memory(FILES, ["train"] * 70 + ["test"] * 30)
    few, many = sorted((first, second))
    small = files(split(dataset, SplitSpec(kind=kind, max_train_images=few, max_test_images=few)))
    large = files(split(dataset, SplitSpec(kind=kind, max_train_images=many, max_test_images=many)))
    assert small[0] <= large[0]
    assert small[1] <= large[1]
    assert len(small[0]) == few
    assert len(large[1]) == min(many, 30 if kind == "given" else 20)


def test_a_limit_takes_images_by_seed_not_by_name() -> None:
    dataset = dataset_in_memory(FILES, ["train"] * 70 + ["test"] * 30)
    limited = files(split(dataset, SplitSpec(max_train_images=10)))[0]
    assert limited != set(FILES[:10])
    assert limited != files(split(dataset, SplitSpec(max_train_images=10, seed=1)))[0]


def voc_like() -> Dataset:
    return dataset_in_memory(FILES[:8], ["train", "train", "val", "trainval", "test", "test", "", "holdout"])


def test_given_splits_and_trainval() -> None:
    dataset = voc_like()
    assert split_names(dataset) == ("holdout", "test", "train", "trainval", "val")
    assert files(split(dataset, SplitSpec())) == ({"000.jpg", "001.jpg"}, {"004.jpg", "005.jpg"})
    assert files(split(dataset, SplitSpec(train="trainval")))[0] == {"000.jpg", "001.jpg", "002.jpg", "003.jpg"}


def test_a_split_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"has no split 'dev': it has 'holdout', 'test', 'train', 'trainval', 'val'\."):
        split(voc_like(), SplitSpec(test="dev"))
    with pytest.raises(DataError, match="has no split 'train': it brings none, so choose a random one"):
        split(dataset_in_memory(FILES), SplitSpec())
    with pytest.raises(DataError, match="has no split 'trainval': it has 'test', 'train'"):
        split(dataset_in_memory(FILES[:2], ["train", "test"]), SplitSpec(train="trainval"))


@pytest.mark.parametrize(("train", "test", "shared"), [("trainval", "val", 1), ("test", "test", 2)])
def test_splits_that_share_images_are_refused(train: str, test: str, shared: int) -> None:
    with pytest.raises(DataError, match=f"share {shared} images: choose two that share none"):
        split(voc_like(), SplitSpec(train=train, test=test))


def test_equal_pictures_in_given_splits_are_named() -> None:
    dataset = dataset_in_memory(["a.jpg", "b.jpg", "c.jpg"], ["train", "train", "test"], ["1" * 64, "2" * 64, "2" * 64])
    assert split(dataset, SplitSpec()).leaked == ("b.jpg",)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["train", "val", "test"], SplitSpec(train="trainval", test="test")),
        (["train", "train", "test"], SplitSpec(train="train", test="test")),
        (["trainval", "trainval", "test"], SplitSpec(train="trainval", test="test")),
        (["train", "val", "val"], SplitSpec(train="train", test="val")),
        (["", "", ""], SplitSpec(kind="random")),
        (["fold1", "fold2", "fold3"], SplitSpec(kind="random")),
        (["train", "train", "train"], SplitSpec(kind="random")),
    ],
)
def test_the_default_split_is_the_datasets_own(splits: list[str], expected: SplitSpec) -> None:
    dataset = dataset_in_memory(FILES[:3], splits)
    assert default_split(dataset) == expected
    assert len(split(dataset, expected).test.images) >= 1


def test_a_test_split_without_boxes_is_not_the_default() -> None:
    dataset = dataset_in_memory(FILES[:3], ["train", "val", "test"])
    boxless = Dataset("x", dataset.root, dataset.classes, dataset.images, dataset.boxes.take(np.array([0, 1])))
    assert default_split(boxless) == SplitSpec(train="train", test="val")
