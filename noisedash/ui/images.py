"""The route `/img/<dataset>/<image row>?w=<width>`: pictures made small on the server, by ids, never paths."""

import re
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.thumbnails import thumbnail
from noisedash.errors import NoiseDashError, NotFoundError
from noisedash.ui.services import dataset, datasets

WIDTHS = (96, 192, 320, 480, 640, 960, 1280, 1920)
"""Widths that are made, in pixels; a wish is rounded up to the next, so that few sizes fill the cache."""
_DEFAULT_WIDTH = 960
_KEPT_PICTURES = 512
_NUMBER = re.compile(r"-?[0-9]{1,9}")


def image_url(dataset_name: str, row: int, width: int, version: str) -> str:
    """Where the page finds image `row`; `version` (the content hash) lets the browser keep it.

    >>> image_url("indoor", 3, 640, "0123456789abcdef")
    '/img/indoor/3?w=640&v=01234567'
    """
    return f"/img/{dataset_name}/{row}?w={width}&v={version[:8]}"


def image_route() -> Route:
    """The route for the launcher."""
    return Route("/img/{dataset}/{row}", _serve, methods=["GET"])


def clamp_width(wanted: str | None) -> int:
    """The width in pixels that is served for what the query says.

    >>> clamp_width("500"), clamp_width("99999"), clamp_width("-1"), clamp_width("wide"), clamp_width(None)
    (640, 1920, 96, 960, 960)
    """
    if wanted is None or not _NUMBER.fullmatch(wanted):
        return _DEFAULT_WIDTH
    return next((width for width in WIDTHS if width >= int(wanted)), WIDTHS[-1])


def _serve(request: Request) -> Response:
    try:
        jpeg = _jpeg(
            request.path_params["dataset"], request.path_params["row"], clamp_width(request.query_params.get("w"))
        )
    except NoiseDashError as error:
        return PlainTextResponse(str(error), status_code=404)
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


def _jpeg(dataset_name: str, row: str, width: int) -> bytes:
    if dataset_name not in datasets().present():
        raise NotFoundError(f"There is no dataset {dataset_name[:64]!r}.")
    found = dataset(dataset_name)
    if not _NUMBER.fullmatch(row) or not 0 <= int(row) < len(found.images):
        raise NotFoundError(f"{dataset_name} has no image {row[:20]!r}; its images are 0 to {len(found.images) - 1}.")
    return _thumbnail(found, int(row), width)


@lru_cache(maxsize=_KEPT_PICTURES)
def _thumbnail(found: Dataset, row: int, width: int) -> bytes:
    """Datasets are compared by identity, and `services.dataset` gives the same one while its content is the same."""
    return thumbnail(found, row, width)
