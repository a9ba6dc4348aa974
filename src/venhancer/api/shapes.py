"""What the API takes and gives, as JSON; the schema at `/openapi.json` is made from these."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from venhancer.serving.record import JobRecord, State
from venhancer.serving.telling import Told

Status = Literal["queued", "in_progress", "paused", "completed", "failed", "cancelled"]
STATUS: dict[State, Status] = {
    "queued": "queued",
    "working": "in_progress",
    "paused": "paused",
    "finished": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
OVER: tuple[Status, ...] = ("paused", "completed", "failed", "cancelled")
EXAMPLE = "01939f1c2d4e8f3a9b7c6d5e4f3a"


class Mistake(BaseModel):
    """What was wrong with a request."""

    message: str = Field(description="What was given, what is allowed and what to do.")


class Refusal(BaseModel):
    """A request that was refused."""

    error: Mistake
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": {"message": "scale 12 is above 8; pass --scale 1 to 8"}}]}
    )


class Video(BaseModel):
    """A job."""

    id: str = Field(description="Tells the job from all others.")
    object: Literal["video"] = "video"
    created_at: int = Field(description="Seconds since 1970.")
    status: Status = Field(description="What becomes of it.")
    progress: int = Field(ge=0, le=100, description="Finished share, in percent.")
    stage: str = Field(description="What is being done; empty unless it is in progress.")
    seconds_left: float | None = Field(description="Until the end; null while it cannot be told.")
    frames: int | None = Field(description="Of the whole output; null before it is planned.")
    frames_finished: int = Field(description="Output frames that are finished.")
    model: str = Field(description="That enhances it.")
    input: str = Field(description="Name of the source.")
    settings: dict[str, Any] = Field(description="What was asked for, by the names in docs/settings.md.")
    warnings: list[str] = Field(description="What went otherwise than planned.")
    not_kept: list[str] = Field(description="What of the source the result does not keep.")
    error: Mistake | None = Field(description="Why it failed.")
    content: str | None = Field(description="Path of the result, once it is completed.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE,
                    "object": "video",
                    "created_at": 1795000000,
                    "status": "in_progress",
                    "progress": 42,
                    "stage": "denoise",
                    "seconds_left": 31.5,
                    "frames": 240,
                    "frames_finished": 96,
                    "model": "nano",
                    "input": "in.mp4",
                    "settings": {"scale": 4.0, "fps": "24"},
                    "warnings": [],
                    "not_kept": [],
                    "error": None,
                    "content": None,
                }
            ]
        }
    )


class Videos(BaseModel):
    """Some of the jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None = Field(description="Of the first one here.")
    last_id: str | None = Field(description="Of the last one here; pass it as `after` for the next ones.")
    has_more: bool = Field(description="Whether there are others after these.")


class Removed(BaseModel):
    """A job that is gone."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class Health(BaseModel):
    """That the server answers."""

    status: Literal["ok"] = "ok"
    waiting: int = Field(ge=0, description="Jobs that wait.")
    working: int = Field(ge=0, description="Jobs that are worked on.")


Identity = Annotated[str, Field(description="Of the job.", examples=[EXAMPLE], min_length=1, max_length=64)]


def video_of(record: JobRecord, told: Told | None) -> Video:
    """Return a job as the API tells it.

    Args:
        record: the job.
        told: last, if it is under way.
    """
    status = STATUS[record.state]
    share = 1.0 if status == "completed" else told.share if told else 0.0
    frames = record.frames or 0
    return Video(
        id=record.id,
        created_at=int(record.created),
        status=status,
        progress=min(100, int(100 * share)),
        stage=told.what if told else "",
        seconds_left=told.left if told else None,
        frames=record.frames,
        frames_finished=frames if status == "completed" else told.frames if told else 0,
        model=record.settings.get("model", "nano"),
        input=record.name,
        settings=record.settings,
        warnings=list(record.warnings),
        not_kept=list(record.not_kept),
        error=Mistake(message=record.reason) if record.reason else None,
        content=f"/v1/videos/{record.id}/content" if status == "completed" else None,
    )
