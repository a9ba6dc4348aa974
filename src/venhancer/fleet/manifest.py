"""What a fleet is given: a folder, a pattern of names or a file of JSON lines, checked as a whole before anything runs.

A line of JSON is `{"input": ..., "output": ..., "id": ..., "prompt": ..., "settings": {...}}`; all but the input may be
left out. All that is wrong is told at once.
"""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import Any

from venhancer.errors import InputError, SettingsError
from venhancer.fleet.folders import PICTURES, PROMPT_SUFFIX, VIDEOS, list_folder, output_name
from venhancer.fleet.items import RECORD_SUFFIX, Item
from venhancer.fleet.stores import Store, Stored, absolute, is_remote, open_file_at, part_address, walk
from venhancer.jobs.work import LONGEST_NAME
from venhancer.media.writing.encoders import PREFERRED
from venhancer.settings import EnhanceSettings, parse_settings

FIELDS = ("id", "input", "output", "prompt", "settings")
LINES = (".jsonl", ".ndjson")
GLOB = "*?["
MOST_TOLD = 20
NAMES = ("id", "name", "file", "path", "input")
"""Columns of a table of prompts that may name the clip, the first of them that is there."""
UNREAD_PROMPT = 4 * 2000  # bytes: a longer prompt is refused anyway


@dataclass(slots=True)
class _Problems:
    """All that is wrong with a manifest."""

    found: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        self.found.append(problem)

    def refuse(self) -> None:
        """Raise if there are any.

        Raises:
            InputError: listing them.
        """
        if self.found:
            more = f". And {len(self.found) - MOST_TOLD} more" if len(self.found) > MOST_TOLD else ""
            raise InputError(". Also: ".join(self.found[:MOST_TOLD]) + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Items that were checked together, and where their outputs go."""

    items: Sequence[Item]
    out: Store


def read_manifest(
    given: str, out: str | None, settings: EnhanceSettings, *, prompts: str | None = None, column: str = "prompt"
) -> Manifest:
    """Return the items of a folder, a pattern or a file of JSON lines.

    Args:
        given: its address; a pattern has a `*`, a `?` or a `[` in it.
        out: address of the folder of outputs; it may be left out for JSON lines that all name their outputs.
        settings: of all items.
        prompts: address of a table (CSV) with a prompt for each clip; sidecars `CLIP.txt` are read without it.
        column: of that table that holds the prompts.

    Raises:
        InputError: listing all that is wrong: what cannot be read, ids and outputs that are there twice, unknown keys
            and settings.
        SettingsError: a prompt or a setting of the table cannot be.
        StoreFailed: a store does not answer.
    """
    problems, shown = _Problems(), given
    given = absolute(given)
    if given.lower().endswith(LINES):
        items, store = _from_lines(given, out, settings, problems)
    else:
        if out is None:
            raise InputError(f"{shown} needs a folder for the outputs; name it behind")
        store = Store(absolute(out))
        if PurePosixPath(out).suffix.lower() in PREFERRED or (store.is_local and store.local("").is_file()):
            raise InputError(f"{out} must be a folder, for {shown} holds several clips; give a folder for the outputs")
        is_pattern = any(mark in given for mark in GLOB)
        items = _from_pattern(given, settings) if is_pattern else _from_folder(given, store, settings)
    if store.is_read_only:
        raise InputError(f"{store.address} can only be read; choose a folder here or in a store for the outputs")
    items = _with_prompts(items, prompts, column, problems)
    _find_doubles(items, store, problems)
    _check_settings(items, settings, problems)
    problems.refuse()
    return Manifest(items=items, out=store)


def shard_of(items: Sequence[Item], shard: str | None) -> Sequence[Item]:
    """Return every n-th item from the i-th on, for a shard "i/n" with i from 0.

    Raises:
        SettingsError: it is none.
    """
    if shard is None:
        return items
    number, slash, count = shard.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise SettingsError(f"shard {shard} is invalid; pass --shard I/N with I from 0 to N - 1, such as 3/64")
    return items[int(number) :: int(count)]


def _from_folder(given: str, out: Store, settings: EnhanceSettings) -> list[Item]:
    source = Store(given)
    if source.is_local and not source.local("").is_dir():
        what = "is a file; use `venhancer enhance` for one" if source.local("").exists() else "is not there"
        raise InputError(f"{given} {what}; give a folder, a pattern in quotes or a file of JSON lines")
    return list_folder(source, out, settings)


def _from_pattern(given: str, settings: EnhanceSettings) -> list[Item]:
    first = next(place for place, letter in enumerate(given) if letter in GLOB)
    folder = given[:first].rpartition("/")[0]
    store = Store(folder)
    found: Any = store.fs.glob(store.path(given[len(folder) + 1 :]), detail=True)  # a dictionary, with details
    start = len(store.path("")) + 1
    items = []
    for path, info in sorted(found.items()):
        name = PurePosixPath(path[start:])
        if info["type"] == "file" and name.suffix.lower() not in {*PICTURES, PROMPT_SUFFIX}:
            output = output_name(name, settings).as_posix()
            is_video = name.suffix.lower() in VIDEOS
            stored = store.find(name.as_posix())
            items.append(
                Item(str(name), store.address_of(str(name)), output, stored=stored, may_be_no_clip=not is_video)
            )
    if not items:
        raise InputError(f"{given} matches no clip; check the pattern, and put it in quotes")
    return items


def _from_lines(
    given: str, out: str | None, settings: EnhanceSettings, problems: _Problems
) -> tuple[list[Item], Store]:
    store, name = open_file_at(given)
    try:
        content = store.read(name).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{given} cannot be read ({error}); give a file of JSON lines in UTF-8") from error
    lines = [line for line in enumerate(content.splitlines(), start=1) if line[1].strip()]
    asked = [values for number, line in lines if (values := _line(f"{name}, line {number}", line, problems))]
    if not asked and not problems.found:
        raise InputError(f'{given} is empty; write one line per clip, such as {{"input": "a.mp4"}}')
    folder = part_address(given)[0]
    wanted = [None if "output" not in values else _below(folder, values["output"]) for values in asked]
    if out is None:
        target = _common_folder(wanted, asked, problems)
        if not target:
            problems.refuse()
    else:
        target = absolute(out)
        wanted = [None if "output" not in values else _below(target, values["output"]) for values in asked]
    sources = [_below(folder, values["input"]) for values in asked]
    items = []
    for values, source, output, stored in zip(asked, sources, wanted, walk(sources), strict=True):
        if why := _why_unreadable(source, stored):
            problems.add(f"{values['where']}: {source} {why}")
        default = output_name(PurePosixPath(part_address(source)[1]), settings).as_posix()
        below = default if output is None else output.removeprefix(f"{target}/")
        if output is not None and below == output:
            problems.add(f"{values['where']}: {output} is not below {target}, where all outputs go")
        own = dict(values.get("settings", {})) | ({"prompt": values["prompt"]} if "prompt" in values else {})
        items.append(Item(str(values.get("id", below)), source, below, own, stored))
    return items, Store(target)


def _line(where: str, line: str, problems: _Problems) -> dict[str, Any] | None:
    """Return a line's values and where it stands; None if they are none."""
    try:
        values = json.loads(line)
    except ValueError as error:
        problems.add(f"{where} is not valid JSON ({error})")
        return None
    if not isinstance(values, dict) or not isinstance(values.get("input"), str):
        problems.add(f'{where} has no "input"; write {{"input": "a.mp4", "output": "b.mp4"}}')
        return None
    for name in values.keys() - set(FIELDS):
        near = get_close_matches(name, FIELDS, n=1)
        problems.add(f"{where}: unknown key {name}; {f'did you mean {near[0]}?' if near else ', '.join(FIELDS)}")
    if not isinstance(values.get("settings", {}), dict) or not isinstance(values.get("output", ""), str):
        problems.add(f'{where}: "settings" must be an object and "output" text')
        return None
    return {**values, "where": where}


def _why_unreadable(source: str, stored: Stored | None) -> str:
    """Return why nothing can be read at an address; empty if it can, or if it is that of numbered pictures."""
    if "%" in source:
        return ""
    if stored is None:
        return "is not there"
    if is_remote(source):
        return ""
    path = Path(source)
    if path.is_dir():
        return "is a folder; name its clips, or pass the folder itself"
    return "" if os.access(path, os.R_OK) else "cannot be read; check its permissions"


def _below(folder: str, address: str) -> str:
    return address if is_remote(address) else absolute(address if address.startswith("/") else f"{folder}/{address}")


def _common_folder(wanted: Iterable[str | None], asked: Sequence[dict[str, Any]], problems: _Problems) -> str:
    """Return the folder of all outputs, which must all be named and lie in one store."""
    folders = []
    for output, values in zip(wanted, asked, strict=True):
        if output is None:
            problems.add(f"{values['where']} names no output; add one, or give a folder for the outputs")
        else:
            folders.append(part_address(output)[0])
    protocols = {folder.partition("://")[0] if is_remote(folder) else "" for folder in folders}
    if not folders:
        return ""
    if len(protocols) != 1:
        problems.add("outputs lie in several stores; give a folder for them")
        return ""
    protocol = protocols.pop()
    prefix = f"{protocol}://" if protocol else ""
    return prefix + commonpath([folder.removeprefix(prefix) for folder in folders])


def _with_prompts(items: list[Item], table: str | None, column: str, problems: _Problems) -> list[Item]:
    """Return the items with the prompts of a table, and of sidecars, where they have none of their own."""
    rows = {} if table is None else _read_table(absolute(table), column)
    found = set()
    for number, item in enumerate(items):
        name = part_address(item.source)[1]
        row = next((key for key in (item.id, item.source, name, PurePosixPath(name).stem) if key in rows), None)
        if row is not None:
            found.add(row)
            items[number] = item._replace(settings={"prompt": rows[row], **item.settings})
    for name in sorted(rows.keys() - found):
        near = get_close_matches(name, [item.id for item in items], n=1)
        problems.add(f"{table}: unknown clip {name}{f'; did you mean {near[0]}?' if near else ''}")
    texts = [_sidecar(item) for item in items]
    stored = _sidecars_there(items, texts)
    for number, (item, text) in enumerate(zip(items, texts, strict=True)):
        if text in stored and "prompt" not in item.settings and not item.skipped:
            store, name = open_file_at(text)
            prompt = store.read(name)[:UNREAD_PROMPT].decode(errors="replace").strip()
            items[number] = item._replace(settings={"prompt": prompt, **item.settings})
    return items


def _sidecar(item: Item) -> str:
    folder, name = part_address(item.source)
    return f"{folder}/{PurePosixPath(name).stem}{PROMPT_SUFFIX}"


def _sidecars_there(items: Sequence[Item], texts: Sequence[str]) -> set[str]:
    """Return which sidecars are there, asking each folder once; web servers, which list nothing, are not asked."""
    folders = {part_address(item.source)[0] for item in items}
    there: set[str] = set()
    for folder in folders:
        store = Store(folder)
        if not store.is_read_only:
            there |= {store.address_of(name) for name in _names(store) if name.endswith(PROMPT_SUFFIX)}
    return there & set(texts)


def _names(store: Store) -> Iterator[str]:
    """Yield the names of the files in one folder."""
    if store.is_local:
        yield from (path.name for path in store.local("").glob(f"*{PROMPT_SUFFIX}"))
    else:
        yield from (name for name in store.files() if "/" not in name)


def _read_table(table: str, column: str) -> dict[str, str]:
    """Return the prompts of a table, by what names the clip."""
    store, name = open_file_at(table)
    try:
        rows = csv.DictReader(io.StringIO(store.read(name).decode("utf-8-sig")))
        head = list(rows.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read ({error}); give a CSV file in UTF-8") from error
    key = next((each for each in NAMES if each in head), None)
    if column not in head or key is None:
        near = get_close_matches(column, head, n=1)
        hint = (
            f"did you mean --prompt-column {near[0]}?" if near and column not in head else f"it has {', '.join(head)}"
        )
        raise InputError(f"{table} has no column {column}, or none of {', '.join(NAMES)}; {hint}")
    return {row[key]: row[column] or "" for row in rows if row[key]}


def _find_doubles(items: Iterable[Item], out: Store, problems: _Problems) -> None:
    """Find ids and outputs that are there twice; to file systems, names may be equal that are written differently."""
    ids: dict[str, Item] = {}
    outputs: dict[str, Item] = {}
    for item in items:
        if ids.setdefault(item.id, item) is not item:
            problems.add(f"id {item.id} is there twice, for {ids[item.id].source} and {item.source}; change one")
        if item.skipped:
            continue
        place = unicodedata.normalize("NFC", item.output).casefold()
        other = outputs.setdefault(place, item)
        if other is not item:
            problems.add(f"{other.id} and {item.id} would both become {out.describe(item.output)}; rename one of them")
        if len(os.fsencode(PurePosixPath(item.output).name + RECORD_SUFFIX)) > LONGEST_NAME:
            problems.add(f"{item.id}: with {RECORD_SUFFIX} its name is longer than {LONGEST_NAME} bytes; rename it")
        if PurePosixPath(item.output).suffix.lower() not in PREFERRED:
            problems.add(f"{item.id}: {item.output} is of no known kind; end it in {', '.join(PREFERRED)}")


def _check_settings(items: Iterable[Item], settings: EnhanceSettings, problems: _Problems) -> None:
    """Check the settings of every item, each kind of them once."""
    known: set[str] = set()
    for item in items:
        own = json.dumps(item.settings, sort_keys=True, default=str)
        if not item.settings or own in known:
            continue
        known.add(own)
        try:
            settings_of(item, settings)
        except SettingsError as error:
            problems.add(f"{item.id}: {error}")
        if "model" in item.settings:
            problems.add(f"{item.id}: model is one for all items; pass --model")


def settings_of(item: Item, settings: EnhanceSettings) -> EnhanceSettings:
    """Return the settings of one item: those of all, and its own over them.

    Raises:
        SettingsError: they cannot be.
    """
    base = {name: getattr(settings, name) for name in settings.model_fields_set}
    if "size" in item.settings:
        base.pop("scale", None)
    if "scale" in item.settings:
        base.pop("size", None)
    return parse_settings(**{**base, **item.settings})
