"""The server behind the page: addresses, who may ask, sentences for what goes wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coseg_bundle.view.correcting.corrections import ChangedElsewhereError
from coseg_bundle.view.correcting.patches import Patch
from coseg_bundle.view.desk import Desk
from coseg_bundle.view.sheets import nuclei_csv, regions_csv
from coseg_bundle.view.tiles import NoTileError, nothing
from coseg_bundle.web.access import Access, without_folders

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MAX_BYTES = 8_000_000
"""Largest request: a drawing of some hundred thousand points."""

MAX_CLASSES = 255
"""Tissue classes in one tile."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_app(
    desks: list[Desk],
    token: str,
    access: Access | None = None,
) -> ASGIApp:
    """The server of some results.

    Args:
        desks: What is shown; their numbers are their addresses.
        token: Stands in front of every path.
        access: Who is answered; only this machine when not given.
    """

    def of(answer: Callable[[Desk, Request, Any], Any]) -> Callable[[Request], Any]:
        """An endpoint that works off the loop, on the result whose number stands in the path."""

        async def endpoint(request: Request) -> Response:
            number = request.path_params["number"]
            if number >= len(desks):
                raise HTTPException(404, f"There is no result {number}.")
            body = await _body(request) if request.method in ("POST", "PUT") else None

            def answered() -> Response:
                desks[number].result.raise_if_changed()
                return _response(answer(desks[number], request, body))

            return await run_in_threadpool(answered)

        return endpoint

    def listed(request: Request) -> Response:
        return JSONResponse([{"name": desk.result.title, "kind": desk.result.kind} for desk in desks])

    routes = [
        Route("/", _page),
        Route("/page/{file}", _page),
        Route("/results.json", listed),
        *(
            Route(f"/{{number:int}}/{path}", of(answer), methods=[method])
            for method, path, answer in (
                ("GET", "about.json", lambda desk, request, body: desk.about()),
                ("GET", "columns/{name}.bin", _column),
                ("GET", "outlines/{column:int}_{row:int}.bin", _outlines),
                ("GET", "tiles/{level:int}/{column:int}_{row:int}.jpg", _image_tile),
                ("GET", "tissue/{classes}/{level:int}/{column:int}_{row:int}.png", _tissue_tile),
                ("GET", "tissue.json", lambda desk, request, body: desk.tissue_regions(_patches(desk, request))),
                ("GET", "regions.json", lambda desk, request, body: desk.saved_regions()),
                ("PUT", "regions.json", _save_regions),
                ("GET", "state.json", lambda desk, request, body: desk.state()),
                ("POST", "measure", lambda desk, request, body: desk.measured(body, _patches(desk, request))),
                ("POST", "regions.csv", _regions_csv),
                ("GET", "nuclei.csv", _nuclei_csv),
                ("GET", "edits.json", lambda desk, request, body: desk.edits()),
                ("POST", "look", lambda desk, request, body: desk.look(_object(body))),
                ("POST", "correct", lambda desk, request, body: desk.correct(_object(body))),
                ("POST", "segment", _segment),
                ("POST", "undo", _undo),
                ("POST", "redo", _redo),
                ("POST", "save", _save),
            )
        ),
    ]
    handlers = {HTTPException: _told, NoTileError: _told, ValueError: _told, OSError: _failed}
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type, unused-ignore]
    return Guard(
        app, access or Access(let_host="open it at 127.0.0.1", let_origin="open the page that coseg printed"), token
    )


class Guard:
    """ASGI middleware: only who knows the token, from this machine (or a name that was allowed), from our own page.

    Args:
        app: What answers when nothing is refused.
        access: Who is answered.
        token: Stands in front of the path.
    """

    def __init__(self, app: ASGIApp, access: Access, token: str) -> None:
        self.app, self.token = app, token
        self.access = Access(access.hosts, access.origins, token, access.let_host, access.let_origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or passes on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        local = (scope.get("server") or (None,))[0]
        refusal = self.access.refusal(headers.get("host", ""), headers.get("origin"), local, scope["scheme"])
        _, token, *rest = [*scope["path"].split("/", 2), ""][:3]
        if refusal:
            await _refused(refusal, 403, headers)(scope, receive, send)
        elif not self.access.knows(token):
            sentence = "Expected the address that coseg view printed, with its token. It is a new one at each start."
            await _refused(sentence, 401, headers)(scope, receive, send)
        else:
            path = "/" + "".join(rest)

            async def with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                    message["headers"] = [*message.get("headers", []), *own]
                await send(message)

            await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, with_headers)


def _refused(sentence: str, status: int, headers: Mapping[str, str]) -> Response:
    """JSON for programs, words for people."""
    if "text/html" in headers.get("accept", ""):
        return PlainTextResponse(f"{sentence}\n", status, _HEADERS)
    return JSONResponse({"detail": sentence}, status, _HEADERS)


async def _body(request: Request) -> Any:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"Expected a request of {MAX_BYTES} bytes at most.")
    try:
        return json.loads(body) if body.strip() else None
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, "Expected JSON.") from error


def _response(answer: Any) -> Response:
    if isinstance(answer, Response):
        return answer
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _page(request: Request) -> Response:
    path = PAGE / request.path_params.get("file", "index.html")
    if path.parent != PAGE or path.suffix not in TYPES or not path.is_file():
        raise HTTPException(404, "There is no such file.")
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


def _patches(desk: Desk, request: Request) -> list[Patch]:
    """The corrections that an answer takes in: all, none (`?before`), or so many of the first ones (`?first=3`)."""
    if "before" in request.query_params:
        return []
    first, patches = request.query_params.get("first"), [*desk.corrections.patches]
    if first is not None and not first.isdecimal():
        raise ValueError(f"Expected first to be how many corrections are taken in, got {first!r}.")
    return patches if first is None else patches[: int(first)]


def _kept(content: bytes, kind: str) -> Response:
    """An answer that stays the same as long as this server runs: the token is in the address."""
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=86400"})


def _column(desk: Desk, request: Request, body: Any) -> Response:
    name = request.path_params["name"]
    if name not in ("xy", "id", *desk.result.nuclei.columns):
        raise HTTPException(404, f"There is no column {name!r}.")
    return _kept(desk.column(name), "application/octet-stream")


def _outlines(desk: Desk, request: Request, body: Any) -> Response:
    place = request.path_params
    return _kept(desk.result.nuclei.packed_outlines(place["column"], place["row"]), "application/octet-stream")


def _image_tile(desk: Desk, request: Request, body: Any) -> Response:
    if desk.image_tiles is None:
        raise HTTPException(404, "The image is not there.")
    place = request.path_params
    return _kept(desk.image_tiles.jpeg((place["level"], place["column"], place["row"])), "image/jpeg")


def _tissue_tile(desk: Desk, request: Request, body: Any) -> Response:
    place = request.path_params
    parts = place["classes"].split("-")
    if len(parts) > MAX_CLASSES or not all(part.isdecimal() and len(part) <= 3 for part in parts):
        raise HTTPException(404, "Expected the ids of tissue classes with - between them.")
    found = desk.tissue_tiles.png(tuple(map(int, parts)), (place["level"], place["column"], place["row"]))
    return _kept(nothing() if found is None else found, "image/png")


def _segment(desk: Desk, request: Request, body: Any) -> Response:
    return Response(
        desk.segment(_object(body)), media_type="application/geo+json", headers={"Cache-Control": "no-store"}
    )


def _undo(desk: Desk, request: Request, body: Any) -> Any:
    desk.corrections.undo(_seen(body))
    return desk.edits()


def _redo(desk: Desk, request: Request, body: Any) -> Any:
    desk.corrections.redo(_seen(body))
    return desk.edits()


def _save_regions(desk: Desk, request: Request, body: Any) -> Any:
    return {"saved": desk.save_regions(body), **desk.saved_regions()}


def _save(desk: Desk, request: Request, body: Any) -> Any:
    files = desk.corrections.save(_seen(body))
    return {"files": [str(path.relative_to(desk.result.folder.parent)) for path in files]}


_ATTACHED = {"Content-Disposition": "attachment", "Cache-Control": "no-store"}
"""The page names files: after what they are of, and whether they are of before corrections."""


def _nuclei_csv(desk: Desk, request: Request, body: Any) -> Response:
    rows = nuclei_csv(desk.result, _patches(desk, request))
    return StreamingResponse(rows, media_type="text/csv", headers=_ATTACHED)


def _regions_csv(desk: Desk, request: Request, body: Any) -> Response:
    features, patches = _object(body).get("features"), _patches(desk, request)
    if not isinstance(features, list):
        raise ValueError("Expected a FeatureCollection of regions.")
    names = [str((feature.get("properties") or {}).get("name", "")) for feature in features]
    rows = [{"name": name, **desk.measured(f, patches)} for name, f in zip(names, features, strict=True)]
    return Response(regions_csv(rows), media_type="text/csv", headers=_ATTACHED)


def _seen(body: Any) -> int | None:
    """The revision of the corrections that a page shows."""
    revision = body.get("revision") if isinstance(body, dict) else None
    return revision if isinstance(revision, int) else None


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise ValueError("Expected a JSON object.")
    return body


def _told(request: Request, error: Exception) -> Response:
    """A fault of the request: a sentence for who asked."""
    if isinstance(error, HTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code)
    status = 404 if isinstance(error, NoTileError) else 409 if isinstance(error, ChangedElsewhereError) else 422
    return JSONResponse({"detail": without_folders(str(error))}, status)


def _failed(request: Request, error: Exception) -> Response:
    logger.error("%s", error)
    return JSONResponse({"detail": without_folders(str(error)) or "The server failed; its log says why."}, 500)
