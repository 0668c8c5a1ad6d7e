from dataclasses import replace

import numpy as np
import pytest
from dataset_files import dataset_in_memory

from noisedash.datasets.checks import table1


def test_table1_against_hand_counted_values() -> None:
    dataset = dataset_in_memory(["a", "b", "c", "d"], ["train", "train", "test", ""])
    xyxy = np.array([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3], [0, 0, 4, 16]], dtype=np.float64)
    boxes = replace(
        dataset.boxes,
        image_index=np.array([0, 0, 0, 2]),
        xyxy=xyxy,
        crowd=np.array([True, False, False, False]),
        difficult=np.array([False, True, True, False]),
    )
    table = table1(replace(dataset, boxes=boxes))
    assert (table.images, table.instances, table.classes, table.images_without_boxes) == (4, 4, 2, 2)
    assert (table.crowd, table.difficult) == (1, 2)
    assert table.images_of_split == {"": 1, "test": 1, "train": 2}
    size = table.size_px
    assert size is not None
    assert [size.minimum, size.lower, size.median, size.upper, size.maximum] == pytest.approx([1, 1.75, 2.5, 4.25, 8])
    cat, dog = table.per_class
    assert (cat.name, cat.instances, cat.images, cat.size_px) == ("cat", 4, 2, size)
    assert (dog.name, dog.instances, dog.images, dog.size_px) == ("dog", 0, 0, None)
