"""The page: controls, what they would do, jobs under way, results. Layout and events only; the work is elsewhere."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.themes import Base

from venhancer.errors import InputError, SettingsError, VEnhancerError
from venhancer.model_files.folders import EMBEDDED
from venhancer.model_files.traits import load_traits
from venhancer.page.form import ENDINGS, Form, command_of, controls
from venhancer.page.result import command_line, label_of, notice, progress_of, refusal, result_of, rows, script, style
from venhancer.page.words import AS_IT_IS, LEVELS, PRESETS, RATES, SIZES, own_level
from venhancer.planning.machine import find_machine
from venhancer.serving.outlook import look_at, outlook, plan_roughly
from venhancer.serving.record import JobRecord
from venhancer.serving.runner import Runner
from venhancer.serving.store import UPLOADS
from venhancer.settings import parse_settings

MEMORY = ("", "4GB", "8GB", "16GB", "24GB")
EVERY = 1.0
"""Seconds between looks at the jobs."""

LOOK = {
    "button_primary_background_fill": "#0b7285",
    "button_primary_background_fill_dark": "#0b7285",
    "button_primary_background_fill_hover": "#095c6b",
    "button_primary_background_fill_hover_dark": "#0c8599",
    "button_primary_text_color": "white",
    "button_primary_text_color_dark": "white",
    "body_text_color_subdued": "*neutral_600",
    "body_text_color_subdued_dark": "*neutral_300",
    "block_info_text_color": "*neutral_600",
    "block_info_text_color_dark": "*neutral_300",
    "block_label_text_color": "*neutral_700",
    "block_title_text_color": "*neutral_700",
    "block_title_text_color_dark": "*neutral_200",
}
"""Colours with enough contrast to be read."""

HEAD = "# venhancer\nEnlarge a clip, make its motion smooth, take its flicker away."
EMPTY = notice("Choose a clip, and read here what would be done with it before anything runs.")


def mount_page(app: FastAPI, runner: Runner, *, most_bytes: int, machine: tuple[str, str] = ("auto", "auto")) -> None:
    """Add the page to a server, at its root.

    Args:
        app: the server; routes that it has go before the page.
        runner: of the jobs.
        most_bytes: of an upload.
        machine: device and number format that plans are made for.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(runner.store.folder / UPLOADS)  # gradio is told by nothing else
    theme = Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], primary_hue="cyan").set(
        **LOOK
    )
    gr.mount_gradio_app(
        app,
        Page(runner, *machine).build(),
        "/",
        show_error=False,
        max_file_size=most_bytes,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        theme=theme,
        css=style(),
    )


class Page:
    """The page over a runner's jobs.

    Args:
        runner: of the jobs.
        device: that plans are made for.
        dtype: number format, likewise.
    """

    def __init__(self, runner: Runner, device: str = "auto", dtype: str = "auto") -> None:
        self.runner, self.store, self.machine = runner, runner.store, find_machine(device, dtype)
        self.more = controls()

    def build(self) -> gr.Blocks:
        """Return the page."""
        with gr.Blocks(title="venhancer", analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True) as page:
            gr.Markdown(HEAD)
            with gr.Row(equal_height=False):
                with gr.Column(min_width=320):
                    form = self._form()
                with gr.Column(min_width=320):
                    plan = gr.HTML(EMPTY, label="What would be done", elem_id="plan", js_on_load=script("refusals"))
                    playhead = gr.Slider(0, 1, 0, step=0.1, label="Preview from (seconds)", elem_id="playhead")
                    with gr.Row():
                        preview = gr.Button("Preview ten frames", elem_id="preview")
                        run = gr.Button("Enhance", variant="primary", elem_id="run")
                    job = gr.Dropdown([], label="Job", elem_id="job", filterable=False)
                    progress = gr.HTML(elem_id="progress")
                    with gr.Row():
                        buttons = {
                            "paused": gr.Button("Pause", elem_id="pause", min_width=60, size="sm"),
                            "resume": gr.Button("Resume", elem_id="resume", min_width=60, size="sm"),
                            "cancelled": gr.Button("Cancel", elem_id="cancel", min_width=60, size="sm"),
                            "remove": gr.Button("Remove", elem_id="remove", min_width=60, size="sm", variant="stop"),
                        }
            result = gr.HTML(elem_id="result", js_on_load=script("compare"))
            seen = gr.State(())
            timer = gr.Timer(EVERY)

            changes = [one.change if isinstance(one, gr.Video | gr.Textbox) else one.input for one in form]
            gr.on(changes, self._plan, form, plan, trigger_mode="always_last", **QUIET, **IN_ORDER)
            clip, chosen = form[0], form[1]
            for one in (clip, chosen):
                one.change(self._length, [clip, chosen], playhead, **QUIET)
            preset, creativity, model = self.preset, form[5], form[8]
            preset.input(self._preset, [preset, model], [form[3], form[4], creativity], **QUIET).then(
                self._plan, form, plan, **QUIET, **IN_ORDER
            )
            model.change(self._levels, model, [creativity, form[6]], **QUIET)
            shown = [job, seen, progress, result]
            looks = {"fn": self._look, "inputs": [job, seen], "outputs": shown, **QUIET}
            told = {"outputs": [plan, job], **SURE}
            run.click(self._telling(self._submit), form, **told).then(**looks)
            peek = partial(self._submit, is_preview=True)
            preview.click(self._telling(peek), [playhead, *form], **told).then(**looks)
            for what, button in buttons.items():
                button.click(self._telling(partial(self._act, what)), job, **told).then(**looks)
            job.input(**looks)
            timer.tick(**looks)
            page.load(**looks)
            page.load(None, js=script("names"))
        page.queue(api_open=False, max_size=64, default_concurrency_limit=8)
        return page

    def _form(self) -> list[Any]:
        """Return the controls, in the order of `_read`."""
        clip = gr.Video(label="Clip", sources=["upload"], elem_id="clip", height=260)
        choices = self.store.choices()
        chosen = gr.Dropdown(
            ["", *choices], value="", label="or a file of the server", visible=bool(choices), elem_id="chosen"
        )
        self.preset = gr.Radio(list(PRESETS), label="Start from", elem_id="preset")
        prompt = gr.Textbox(label="Prompt", info="What the clip shows; guides invented detail.", elem_id="prompt")
        size = gr.Radio(list(SIZES), value="4x", label="Size", elem_id="size")
        rate = gr.Radio(list(RATES), value=AS_IT_IS, label="Frames a second", elem_id="rate")
        creativity = gr.Slider(
            LEVELS[0],
            LEVELS[-1],
            own_level(load_traits(EMBEDDED)),
            step=1,
            label="Creativity",
            info="1 stays close to the input, 5 redraws it.",
            elem_id="creativity",
        )
        sharpness = gr.Slider(
            LEVELS[0],
            LEVELS[-1],
            3,
            step=1,
            label="Sharpness",
            info="How strongly the prompt steers.",
            elem_id="sharpness",
            visible=False,
        )
        with gr.Row():
            model = gr.Dropdown(list(self.store.models), value=EMBEDDED, label="Model", elem_id="model", min_width=140)
            memory = gr.Dropdown(
                list(MEMORY), value="", label="Memory at most", allow_custom_value=True, elem_id="memory", min_width=140
            )
            ending = gr.Dropdown(list(ENDINGS), value=ENDINGS[0], label="File", elem_id="ending", min_width=140)
        with gr.Accordion("More", open=False, elem_id="more"):
            more = [_control(one) for one in self.more]
        return [clip, chosen, prompt, size, rate, creativity, sharpness, memory, model, ending, *more]

    def _read(self, values: Sequence[Any]) -> Form:
        """Return what is filled in.

        Raises:
            InputError: no clip is.
        """
        clip, chosen, prompt, size, rate, creativity, sharpness, memory, model, ending, *more = values
        if not clip and not chosen:
            raise InputError("choose a clip first")
        if size not in SIZES or rate not in RATES or ending not in ENDINGS or model not in self.store.models:
            raise SettingsError("choose a size, a rate, a model and a kind of file that are offered")
        return Form(
            source=Path(clip) if clip else self.store.chosen(chosen),
            size=size,
            rate=rate,
            creativity=int(creativity),
            sharpness=int(sharpness),
            prompt=prompt or "",
            memory=memory or "",
            model=model,
            ending=ending,
            more=dict(zip((one.name for one in self.more), more, strict=True)),
        )

    def _name(self, form: Form) -> str:
        """Return what the user calls the clip."""
        if self.store.inputs is not None and form.source.is_relative_to(self.store.inputs):
            return form.source.relative_to(self.store.inputs).as_posix()
        return form.source.name

    def _plain(self, error: VEnhancerError, values: Sequence[Any]) -> str:
        """Return an error without the server's paths."""
        line = str(error)
        for value in values[:2]:
            if value:
                line = line.replace(value, Path(value).name)
        for folder in (self.store.folder, self.store.inputs):
            line = line if folder is None else line.replace(f"{folder}{os.sep}", "")
        return line

    def _plan(self, *values: Any) -> str:  # noqa: ANN401 - what controls hold
        """Return what would be done."""
        if not values[0] and not values[1]:
            return EMPTY
        try:
            form = self._read(values)
            settings = form.settings()
            plan, target = plan_roughly(form.source, settings, self.machine), Path(f"result{form.ending}")
            name = self._name(form)
            command = command_of(name, settings, f"{Path(name).stem}_enhanced{form.ending}")
            return rows(outlook(plan, target, self.store), "What would be done") + command_line(command)
        except VEnhancerError as error:
            return refusal(self._plain(error, values))

    def _length(self, clip: str | None, chosen: str | None) -> Any:  # noqa: ANN401 - gradio's updates
        """Return the slider of the playhead for a clip."""
        try:
            source = Path(clip) if clip else self.store.chosen(chosen or "")
            seconds = float(look_at(source, parse_settings()).duration)
        except VEnhancerError:
            seconds = 1.0
        return gr.Slider(maximum=max(0.1, round(seconds, 1)), value=0)

    def _preset(self, preset: str, model: str) -> tuple[str, str, int]:
        """Return size, rate and creativity of a preset."""
        start = PRESETS[preset]
        level = min(LEVELS[-1], own_level(load_traits(model)) + int(start["creativity"]))
        return str(start["size"]), str(start["rate"]), level

    def _levels(self, model: str) -> tuple[int, Any]:
        """Return the levels that are a model's own."""
        traits = load_traits(model)
        return own_level(traits), gr.Slider(value=3, visible=traits.network.attends_to_text)

    def _submit(self, *values: Any, is_preview: bool = False) -> tuple[Any, Any]:  # noqa: ANN401 - likewise
        """Queue a job, and choose it."""
        start, values = (values[0], values[1:]) if is_preview else (None, values)
        form = self._read(values)
        settings = form.settings(preview_from=start)
        plan_roughly(form.source, settings, self.machine)  # refuses now what would fail later
        self.runner.check_room()
        record = self.store.add(form.source, settings, name=self._name(form), ending=form.ending, preview=is_preview)
        self.runner.submitted()
        return gr.skip(), self._jobs(record.id)

    def _act(self, what: str, identity: str | None) -> tuple[Any, Any]:
        """Pause, resume, cancel or remove the job that is chosen."""
        if not identity:
            raise InputError("choose a job first")
        record = self.store.find(identity)
        if what == "resume":
            self.runner.resume(record)
        elif what == "remove":
            self.runner.remove(record)
            return gr.skip(), self._jobs(None)
        else:
            self.runner.stop(record, "paused" if what == "paused" else "cancelled")
        return gr.skip(), self._jobs(identity)

    def _telling(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """Return a handler whose errors are shown where the plan is."""

        def handler(*values: Any) -> Any:  # noqa: ANN401 - likewise
            try:
                return act(*values)
            except VEnhancerError as error:
                return refusal(self._plain(error, [value for value in values if isinstance(value, str)])), gr.skip()

        return handler

    def _jobs(self, identity: str | None) -> Any:  # noqa: ANN401 - gradio's updates
        """Return the list of jobs with one of them chosen, or the newest."""
        records = self.store.records()
        known = {record.id for record in records}
        value = identity if identity in known else records[-1].id if records else None
        return gr.Dropdown(_listed(records), value=value)

    def _look(self, identity: str | None, seen: tuple[object, ...]) -> tuple[Any, ...]:
        """Return the list, the progress and the result of the job chosen, what has not changed left as it is."""
        records = self.store.records()
        by_id = {record.id: record for record in records}
        record = by_id.get(identity or "") or (records[-1] if records else None)
        listed = tuple((one.id, one.state) for one in records)
        if record is None:
            return self._jobs(None), (listed, None), notice("No jobs yet."), ""
        shown = (record.id, record.state)
        list_before, shown_before = seen or (None, None)
        jobs = gr.skip() if listed == list_before else gr.Dropdown(_listed(records))  # what is chosen stays chosen
        return (
            jobs if identity == record.id else self._jobs(record.id),
            (listed, shown),
            progress_of(record, self.runner.progress(record), self._before(record, records)),
            gr.skip() if shown == shown_before else result_of(self.store, record),
        )

    def _before(self, record: JobRecord, records: Sequence[JobRecord]) -> int:
        """Return how many jobs go before one."""
        return sum(one.state in ("queued", "working") and one.id < record.id for one in records)


QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
IN_ORDER: dict[str, Any] = {"concurrency_id": "plan", "concurrency_limit": 1}
"""Of plans: one made of what was filled in before must not come after the newest."""

SURE: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}


def _listed(records: Sequence[JobRecord]) -> list[tuple[str, str]]:
    """Return jobs as choices, newest first."""
    return [(label_of(record), record.id) for record in reversed(records)]


def _control(one: Any) -> Any:  # noqa: ANN401 - gradio's components
    """Return gradio's component for a control."""
    shown = {"label": one.label, "info": one.hint, "elem_id": f"more-{one.name}"}
    if one.default is not None:
        return gr.Checkbox(one.default, **shown)
    if one.choices:
        return gr.Dropdown(["", *one.choices], value="", **shown)
    return gr.Textbox("", **shown)
