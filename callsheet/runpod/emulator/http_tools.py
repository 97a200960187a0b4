"""What the doors share: the world behind a request, bodies with limits, answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from callsheet.runpod.emulator.refusals import Refusal

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World

M = TypeVar("M", bound=BaseModel)
MB = 1_000_000


def world_of(request: Request) -> World:
    return cast("World", request.app.state.world)


async def json_body(request: Request, most: int = MB, too_large: int = 400) -> Any:
    """The body, read up to `most` bytes. Raises Refusal."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise Refusal(too_large, f"the body is larger than {most // MB} MB")
    try:
        return json.loads(bytes(data) or b"null")
    except ValueError:
        raise Refusal(400, "the body is no JSON") from None


async def body_as(request: Request, model: type[M]) -> M:
    """The body as a model. Raises Refusal 422 with what does not fit."""
    found = await json_body(request)
    try:
        return model.model_validate_json(json.dumps(found))
    except ValidationError as error:
        wrong = tuple(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}"
                      for each in error.errors(include_url=False))
        raise Refusal(422, "the request body is not valid", wrong) from None


def answer(body: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(body, status)


def nothing() -> Response:
    return Response(status_code=204)
