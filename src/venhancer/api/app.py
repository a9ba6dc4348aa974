"""The API's routes: each checks what it is given, asks the runner, and tells the job as it is then."""

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, no_type_check

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile as Upload
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

from venhancer.api.shapes import OVER, Health, Identity, Refusal, Removed, Video, Videos, video_of
from venhancer.errors import InputError, JobFailed, SettingsError, VEnhancerError
from venhancer.media.source import failures_as
from venhancer.media.writing.encoders import PREFERRED
from venhancer.planning.memory import Machine
from venhancer.serving.outlook import outlook, plan_roughly
from venhancer.serving.record import JobRecord
from venhancer.serving.runner import Busy, Runner
from venhancer.serving.store import UPLOADS
from venhancer.settings import parse_settings
from venhancer.web.files import send_report, send_result
from venhancer.web.guard import Access, refuse
from venhancer.web.server import new_app

LOOKED_EVERY = 0.5  # seconds between two looks at a job that somebody listens to
MOST_LISTED = 100
STREAM = "text/event-stream"
Responses = dict[int | str, dict[str, Any]]
SETTINGS = "All other settings by their names in docs/settings.md, as a JSON object."


class Missing(InputError):  # noqa: N818 - it names what happened
    """There is no such job."""


def make_api(runner: Runner, access: Access, *, most_bytes: int, machine: Machine) -> FastAPI:
    """Return the API over a runner's jobs.

    Args:
        runner: running while requests come.
        access: who may call.
        most_bytes: of a request.
        machine: that plans are made for.
    """
    app = new_app(
        runner,
        access,
        most_bytes=most_bytes,
        title="venhancer",
        summary="Enhance video in space and time.",
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routes = Routes(runner, machine)
    told: Responses = {code: {"model": Refusal} for code in (400, 401, 403, 404, 405, 413, 421, 422)}
    one: dict[str, Any] = {"responses": told, "tags": ["videos"]}
    plain: Responses = {code: told[code] for code in (403, 405, 421)}
    app.add_api_route("/health", routes.health, response_model=Health, tags=["server"], responses=plain)
    for path, take in (("/v1/videos", routes.create), ("/v1/video/upscales", routes.upscale)):
        busy: Responses = {429: {"model": Refusal}, 507: {"model": Refusal}}
        app.add_api_route(
            path, take, methods=["POST"], response_model=Video, status_code=201, tags=["videos"], responses=told | busy
        )
    app.add_api_route("/v1/videos", routes.list, response_model=Videos, **one)
    app.add_api_route("/v1/videos/{identity}", routes.read, response_model=Video, **one)
    app.add_api_route("/v1/videos/{identity}", routes.remove, methods=["DELETE"], response_model=Removed, **one)
    for what in ("pause", "resume", "cancel"):
        app.add_api_route(
            f"/v1/videos/{{identity}}/{what}", getattr(routes, what), methods=["POST"], response_model=Video, **one
        )
    early: Responses = {409: {"model": Refusal}}
    whole: Responses = {
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    }
    heard: Responses = {200: {"content": {STREAM: {"schema": {"type": "string"}}}}}
    files: dict[str, Any] = {"tags": ["videos"], "response_class": Response}
    app.add_api_route("/v1/videos/{identity}/content", routes.content, responses=told | early | whole, **files)
    app.add_api_route("/v1/videos/{identity}/report", routes.report, responses=told | early | whole, **files)
    app.add_api_route("/v1/videos/{identity}/events", routes.events, responses=told | heard, **files)
    app.add_exception_handler(VEnhancerError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


class Routes:
    """What is done for each request.

    Args:
        runner: of the jobs.
        machine: that plans are made for.
    """

    def __init__(self, runner: Runner, machine: Machine) -> None:
        self.runner, self.store, self.machine = runner, runner.store, machine

    def health(self) -> Health:
        """Tell that the server answers, and how busy it is."""
        states = [record.state for record in self.store.records()]
        return Health(waiting=states.count("queued"), working=states.count("working"))

    @no_type_check  # FastAPI asks for its own kind of upload and passes Starlette's
    def create(
        self,
        *,
        input_reference: Annotated[UploadFile | None, File(description="The clip; or name one as `input`.")] = None,
        input: Annotated[str | None, Form(description="File in the server's folder of inputs.")] = None,  # noqa: A002
        prompt: Annotated[str, Form(description="What the clip shows.", examples=["a rabbit in a meadow"])] = "",
        size: Annotated[str | None, Form(description="Exact size in pixels.", examples=["1280x720"])] = None,
        model: Annotated[str | None, Form(description="Model that enhances it.", examples=["nano"])] = None,
        settings: Annotated[str, Form(description=SETTINGS, examples=['{"fps": 24}'])] = "{}",
        ending: Annotated[str, Form(description="Ending of the result's name.", examples=[".mp4"])] = ".mp4",
    ) -> Video:
        """Queue a job."""
        given = {"prompt": prompt or None, "size": size or None, "model": model or None}
        return self._queue(input_reference, input, given, settings, ending)

    @no_type_check
    def upscale(
        self,
        *,
        video: Annotated[UploadFile | None, File(description="The clip; or name one as `input`.")] = None,
        input: Annotated[str | None, Form(description="File in the server's folder of inputs.")] = None,  # noqa: A002
        scale: Annotated[float | None, Form(description="Times wider and higher.", examples=[4])] = None,
        fps: Annotated[str | None, Form(description="Frames a second.", examples=["24", "30000/1001"])] = None,
        settings: Annotated[str, Form(description=SETTINGS, examples=['{"seed": 7}'])] = "{}",
        ending: Annotated[str, Form(description="Ending of the result's name.", examples=[".mp4"])] = ".mp4",
    ) -> Video:
        """Queue a job that enlarges a clip or raises its rate."""
        return self._queue(video, input, {"scale": scale, "fps": fps or None}, settings, ending)

    def _queue(
        self, upload: Upload | None, name: str | None, given: dict[str, Any], settings: str, ending: str
    ) -> Video:
        if (upload is None or not upload.filename) == (not name):
            raise InputError("give either a file or the name of one as `input`")
        if ending not in PREFERRED or ending in (".png", ".tif", ".tiff"):
            raise SettingsError(f"ending {ending[:20]!r} is not supported; pass .mp4, .mov, .mkv, .webm, .gif or .webp")
        request = parse_settings(**_parse(settings) | {key: value for key, value in given.items() if value is not None})
        self.store.check_model(request)
        self.runner.check_room()
        source, shown = self._take(upload, name)
        try:
            plan = plan_roughly(source, request, self.machine)
            outlook(plan, Path(f"result{ending}"), self.store)
            record = self.store.add(source, request, name=shown, ending=ending)
        except VEnhancerError as error:
            raise type(error)(str(error).replace(str(source), shown)) from error
        finally:
            if upload is not None:
                shutil.rmtree(source.parent, ignore_errors=True)
        self.runner.submitted()
        return video_of(record, None)

    def _take(self, upload: Upload | None, name: str | None) -> tuple[Path, str]:
        """Return where a clip is, and what it is called."""
        if upload is None:
            return self.store.chosen(name or ""), name or ""
        shown = Path((upload.filename or "").replace("\\", "/").replace("\0", "")).name[:200] or "video"
        folder = self.store.folder / UPLOADS / secrets.token_hex(8)
        path = folder / f"source{plain_ending(shown)}"
        with failures_as(JobFailed, "the upload cannot be kept; make room on the server"):
            folder.mkdir()
            with path.open("wb") as file:
                shutil.copyfileobj(upload.file, file, 1 << 20)
        return path, shown

    def list(
        self,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most of them.")] = 20,
        after: Annotated[str | None, Query(max_length=64, description="Only those after this one.")] = None,
    ) -> Videos:
        """List jobs, newest first."""
        records = self.store.records()[::-1]
        if after is not None:
            records = [record for record in records if record.id < after]
        shown = [self._video(record) for record in records[:limit]]
        ends = (shown[0].id, shown[-1].id) if shown else (None, None)
        return Videos(data=shown, first_id=ends[0], last_id=ends[1], has_more=len(records) > limit)

    def read(self, identity: Identity) -> Video:
        """Tell how far a job is."""
        return self._video(self._find(identity))

    def remove(self, identity: Identity) -> Removed:
        """Cancel a job and remove all that was made for it."""
        record = self._find(identity)
        self.runner.remove(record)
        return Removed(id=record.id)

    def pause(self, identity: Identity) -> Video:
        """Stop a job at its next evaluation and free its memory; finished segments are kept."""
        return self._video(self.runner.stop(self._find(identity), "paused"))

    def cancel(self, identity: Identity) -> Video:
        """Stop a job at its next evaluation; finished segments are kept until it is deleted."""
        return self._video(self.runner.stop(self._find(identity), "cancelled"))

    def resume(self, identity: Identity) -> Video:
        """Queue a job that was paused, cancelled or failed once more; it goes on where it was."""
        return self._video(self.runner.resume(self._find(identity)))

    def content(self, identity: Identity) -> Response:
        """Send the result."""
        return send_result(self.store, self._find(identity).id)

    def report(self, identity: Identity) -> Response:
        """Send the report: plan, time, versions."""
        return send_report(self.store, self._find(identity).id)

    async def events(self, identity: Identity, request: Request) -> Response:
        """Send the job as server-sent events whenever it changes, until it is over."""
        await run_in_threadpool(self._find, identity)

        async def told() -> AsyncIterator[str]:
            last = ""
            while not await request.is_disconnected():
                try:
                    video = await run_in_threadpool(self.read, identity)
                except Missing:
                    yield "event: removed\ndata: {}\n\n"
                    return
                line = video.model_dump_json()
                if line != last:
                    yield f"data: {line}\n\n"
                    last = line
                if video.status in OVER:
                    return
                await asyncio.sleep(LOOKED_EVERY)

        return StreamingResponse(told(), media_type=STREAM, headers={"Cache-Control": "no-store"})

    def _find(self, identity: str) -> JobRecord:
        try:
            return self.store.find(identity)
        except InputError as error:
            raise Missing(str(error)) from error

    def _video(self, record: JobRecord) -> Video:
        return video_of(record, self.runner.progress(record))


def plain_ending(name: str) -> str:
    """Return how a file's name ends, if that is plain enough to be kept."""
    ending = Path(name).suffix.lower()
    return ending if ending[1:].isascii() and ending[1:].isalnum() and len(ending) <= 8 else ""


def _parse(settings: str) -> dict[str, Any]:
    """Return the object in a form's text.

    Raises:
        SettingsError: it is none.
    """
    try:
        values = json.loads(settings or "{}")
    except (ValueError, RecursionError) as error:
        raise SettingsError('settings are not valid JSON; pass an object such as {"scale": 2, "fps": 24}') from error
    if not isinstance(values, dict):
        raise SettingsError('settings are not a JSON object; pass one such as {"scale": 2, "fps": 24}')
    return values


def _refused(_: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, Missing) else 507 if isinstance(error, JobFailed) else 400
    return refuse(429 if isinstance(error, Busy) else status, str(error))


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    lines = [f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in error.errors()]
    return refuse(422, ". Also: ".join(lines))


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return refuse(error.status_code, str(error.detail), dict(error.headers or {}))
