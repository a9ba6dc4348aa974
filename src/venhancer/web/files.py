"""The files of a job that are handed out, by the job and one of a few names."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import FileResponse, JSONResponse, Response

from venhancer.errors import InputError
from venhancer.serving.record import AFTER, BEFORE, COMPARISON, LATEST, REPORT, STILLS, STRIP
from venhancer.serving.store import JobStore
from venhancer.web.guard import refuse

SHOWN = (AFTER, BEFORE, COMPARISON, LATEST, STILLS, STRIP)


def job_files(store: JobStore) -> APIRouter:
    """Return the routes under which a page finds what a job shows, its result and its report."""
    router = APIRouter(prefix="/jobs", include_in_schema=False)

    @router.get("/{identity}/result")
    def result(identity: str) -> Response:
        return send_result(store, identity)

    @router.get("/{identity}/{name}")
    def shown(identity: str, name: str) -> Response:
        try:
            record = store.find(identity)
        except InputError as error:
            return refuse(404, str(error))
        if name == REPORT:
            return send_report(store, identity)
        path = store.path(record, name) if name in SHOWN else None
        if path is None:
            return refuse(404, "this job has no such file")
        kept = "no-store" if name == LATEST else "private, max-age=3600"
        return FileResponse(path, headers={"Cache-Control": kept})

    return router


def send_result(store: JobStore, identity: str) -> Response:
    """Return a job's result as a file to download, or why there is none."""
    try:
        record = store.find(identity)
    except InputError as error:
        return refuse(404, str(error))
    path: Path = store.target(record)
    if record.state != "finished" or not path.is_file():
        return refuse(409, f"job {record.id} is {record.state}; its result is there once it is finished")
    return FileResponse(path, filename=path.name)


def send_report(store: JobStore, identity: str) -> Response:
    """Return a job's report without the server's paths, as a file to download, or why there is none."""
    try:
        record = store.find(identity)
    except InputError as error:
        return refuse(404, str(error))
    path = store.path(record, REPORT)
    if path is None:
        return refuse(409, f"job {record.id} is {record.state}; its report is there once it is finished")
    report = _in_all(json.loads(path.read_text(encoding="utf-8")), partial(store.plain, record=record))
    attached = f"attachment; filename*=utf-8''{quote(record.title)}.json"
    return JSONResponse(report, headers={"Content-Disposition": attached})


def _in_all(value: object, change: Callable[[str], str]) -> object:
    """Return a value of JSON with every text in it changed."""
    if isinstance(value, dict):
        return {name: _in_all(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_in_all(one, change) for one in value]
    return change(value) if isinstance(value, str) else value
