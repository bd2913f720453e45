"""Stands in front of MONAI Label's endpoints: who asks, how much is sent, which names are used, its first page."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from monailabel.interfaces.exception import MONAILabelException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import coseg_bundle
from coseg_bundle.web.access import (
    NAME_FIELDS,
    Access,
    DatastoreNameError,
    check_names,
    plain_name,
    without_folders,
)

logger = logging.getLogger(__name__)

MAX_JSON_BYTES = 64 * 1024
"""Largest request that is JSON as a whole: options of a training, of a sample, of a WSI region."""

NOT_OFFERED = ("session", "proxy", "ohif", "reload")
"""Endpoints for other viewers and data: what they work on lies outside the folder of the images."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Co-Seg: annotation server</title>
<h1>Co-Seg: annotation server</h1>
<p>It runs. Give this page's address to a client: QuPath, the Digital Slide Archive, or Python.</p>
<ul>
<li><a href="info/">What is served, and the last training</a></li>
<li><a href="datastore/?output=all">Images and labels</a></li>
<li><a href="logs/?lines=100&amp;text=true">The log</a></li>
<li><a href="openapi.json">What can be asked, for programs</a></li>
</ul>
"""
"""In place of MONAI Label's own pages, whose scripts come from another host."""

_WITH_OPTIONS = ("train", "batch", "activelearning", "scoring")


class Guard:
    """ASGI middleware.

    Args:
        app: What answers when nothing is refused.
        access: Who is answered.
        max_bytes: Largest request.
        names: Whether names of images are names of files; not so in a remote store.
    """

    def __init__(self, app: ASGIApp, access: Access, max_bytes: int, names: bool = True) -> None:
        self.app, self.access, self.max_bytes, self.names = app, access, max_bytes, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or passes on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            scope = self._admitted(dict(scope))
            receive = self._bounded(scope, receive)
            if self.names and _parts(scope)[0] in _WITH_OPTIONS and scope["method"] == "POST":
                receive = await _checked_options(receive)
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code, error.headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admitted(self, scope: Scope) -> Scope:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        local = (scope.get("server") or (None,))[0]
        refusal = self.access.refusal(headers.get("host", ""), headers.get("origin"), local, scope["scheme"])
        if refusal:
            raise HTTPException(403, refusal)
        given = headers.get("authorization", "").partition(" ")
        token = given[2].strip() if given[0].lower() == "bearer" else ""
        if self.access.token is not None and len(parts := scope["path"].split("/", 3)) == 4 and parts[1] == "token":
            token, scope["path"] = parts[2], "/" + parts[3]
            scope["raw_path"] = scope["path"].encode()
        if scope["method"] != "OPTIONS" and not self.access.knows(token):
            raise HTTPException(401, "Expected the server's token.", {"WWW-Authenticate": "Bearer"})
        if _parts(scope)[0] in NOT_OFFERED:
            raise HTTPException(404, f"There is no /{_parts(scope)[0]} here.")
        if self.names:
            _check_query(scope["query_string"].decode("latin-1"))
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.max_bytes:
            raise self._too_large()
        return scope

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.max_bytes:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413, f"The request has more than {self.max_bytes} bytes; start the server with --conf max_upload_mb NUMBER."
        )


def stand_before(app: FastAPI, access: Access, max_bytes: int, names: bool = True) -> None:
    """Puts the guard in front of an application, which may have started, and turns its errors into sentences."""
    app.middleware_stack = None  # built again, with what follows
    app.router.routes[:] = [route for route in app.routes if getattr(route, "path", "") not in ("/", app.redoc_url)]
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_middleware(Guard, access=access, max_bytes=max_bytes, names=names)
    for kind in (ValueError, TypeError, KeyError, AttributeError, RecursionError, AssertionError, OSError):
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(MONAILabelException, _not_found)
    app.add_exception_handler(DatastoreNameError, _no_name)


async def _page() -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": "default-src 'none'"})


async def _checked_options(receive: Receive) -> Receive:
    """Reads a body of options, checks it, and gives it again."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > MAX_JSON_BYTES:
            raise HTTPException(413, f"Expected options of {MAX_JSON_BYTES} bytes at most.")
    try:
        options: Any = json.loads(body) if body.strip() else {}
        if options is not None and not isinstance(options, dict):
            raise HTTPException(422, "Expected the options as a JSON object.")
        check_names(options)
    except DatastoreNameError as error:
        raise HTTPException(422, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, "Expected the options as a JSON object; the body is no JSON.") from error
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _check_query(query: str) -> None:
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
        for name, value in fields:
            if name == "session_id" and value:
                raise HTTPException(404, "There are no sessions here; send the file along, or upload it.")
            if name in NAME_FIELDS and value:
                plain_name(value, name)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _parts(scope: Scope) -> list[str]:
    return str(scope["path"]).strip("/").split("/")


def _told(request: Request, error: Exception) -> JSONResponse:
    """A fault of the request where our own code was never reached, else a fault of the server; the log has it all."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    home, frame, ours = str(Path(coseg_bundle.__file__).parent), error.__traceback__, False
    while frame is not None:
        ours, frame = ours or frame.tb_frame.f_code.co_filename.startswith(home), frame.tb_next
    if isinstance(error, OSError) or ours:
        full = isinstance(error, OSError) and error.errno in (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT
        return JSONResponse(
            {"detail": "The disk is full; what was there is kept." if full else "The server failed; its log says why."},
            507 if full else 500,
        )
    return JSONResponse({"detail": "Not understood: expected params, info and wsi as JSON objects."}, 422)


def _not_found(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": without_folders(getattr(error, "msg", "Not found."))}, 404)


def _no_name(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)
