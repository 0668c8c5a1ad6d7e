"""Tiny datasets on disk and in memory, for the tests."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from noisedash.datasets.dataset import Boxes, Dataset, Images, stable_box_ids

SIZE_WH = (60, 40)


def jpeg(size_wh: tuple[int, int] = SIZE_WH, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size_wh[1] // 4 + 1, size_wh[0] // 4 + 1, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(noise, size_wh))[1].tobytes()


def write_jpeg(path: Path, size_wh: tuple[int, int] = SIZE_WH, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(size_wh, seed))


def rotated_by_exif(data: bytes) -> bytes:
    """The JPEG with an EXIF entry that says: turn me by 90 degrees."""
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]


def voc_object(name: str, corners: Sequence[object], extra: str = "") -> str:
    tags = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, corners, strict=True))
    return f"<object><name>{name}</name>{extra}<bndbox>{inner}</bndbox></object>"


def voc_xml(objects: Sequence[str], filename: str = "", size_wh: tuple[int, int] = SIZE_WH) -> str:
    size = f"<size><width>{size_wh[0]}</width><height>{size_wh[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{size}{''.join(objects)}</annotation>"


def make_voc(
    folder: Path, objects_of: Mapping[str, Sequence[str]], lists: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """A VOC set with an image for each stem; `lists` are those of ImageSets/Main."""
    (folder / "Annotations").mkdir(parents=True)
    for seed, (stem, objects) in enumerate(objects_of.items()):
        write_jpeg(folder / "JPEGImages" / f"{stem}.jpg", seed=seed)
        (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(objects, f"{stem}.jpg"))
    for name, stems in (lists or {}).items():
        path = folder / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{stem}\n" for stem in stems))
    return folder


def coco_json(
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    categories: Sequence[tuple[int, str]] = ((1, "cat"), (7, "dog")),
) -> str:
    named = [{"id": number, "name": name} for number, name in categories]
    sized = [{"width": SIZE_WH[0], "height": SIZE_WH[1], **image} for image in images]
    return json.dumps({"images": sized, "annotations": list(annotations), "categories": named})


def coco_box(number: int, image: int, bbox: object, category: int = 1, **more: object) -> dict[str, object]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0, **more}


def make_coco(folder: Path, annotations: Sequence[Mapping[str, Any]], images: int = 2) -> Path:
    """One COCO file instances_train2017.json with images 1, 2, … in train2017."""
    for number in range(1, images + 1):
        write_jpeg(folder / "train2017" / f"{number}.jpg", seed=number)
    entries = [{"id": number, "file_name": f"{number}.jpg"} for number in range(1, images + 1)]
    path = folder / "annotations" / "instances_train2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(coco_json(entries, annotations))
    return folder


def dataset_in_memory(
    files: Sequence[str], splits: Sequence[str] | None = None, sha256: Sequence[str] | None = None
) -> Dataset:
    """A dataset with one box an image and no files behind it."""
    count = len(files)
    xyxy = np.tile([1.0, 2.0, 30.0, 20.0], (count, 1))
    crowd = np.zeros(count, dtype=bool)
    images = Images(
        tuple(files),
        np.full(count, SIZE_WH[0], dtype=np.int64),
        np.full(count, SIZE_WH[1], dtype=np.int64),
        tuple(splits or [""] * count),
        tuple(sha256 or [hashlib.sha256(file.encode()).hexdigest() for file in files]),
    )
    ids = stable_box_ids(list(files), ["cat"] * count, xyxy, crowd)
    boxes = Boxes(ids, np.arange(count), np.zeros(count, dtype=np.int64), xyxy, crowd, crowd)
    return Dataset("memory", Path("/nowhere"), ("cat", "dog"), images, boxes)
