"""The record beside each output, `OUTPUT.venhancer.json`: what it was made of, how, with what and under which terms.

It is written after the output. So an output with its record is done, and one without is finished off or made again.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from venhancer.durable import sha256_of
from venhancer.fleet.items import RECORD_SUFFIX, Order
from venhancer.fleet.licences import CODE, GENERATED
from venhancer.fleet.stores import PARTIAL, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a craft says of what it has made.

    Args:
        frames: of the output, or looked at if there is none.
        seconds: that it took; None if an earlier, killed run had finished it.
        facts: anything else for the record, as values of JSON: size, rate, seed, versions, device.
        notes: in words, such as that memory ran out and a smaller plan was followed.
        not_kept: of the source, in words.
    """

    frames: int
    seconds: float | None
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    not_kept: tuple[str, ...] = ()


def record_of(order: Order, made: Made, weights: object, *, source: str, output: str, size: int) -> dict[str, Any]:
    """Return an output's record.

    Args:
        order: that was done.
        made: what was made of it.
        weights: see `describe_weights`.
        source: SHA-256 of the input.
        output: SHA-256 of the output.
        size: bytes of the output.
    """
    return {
        "program": "venhancer",
        "format": 1,
        "id": order.id,
        "key": order.key,
        "input": {"address": order.source, "sha256": source},
        "output": {"name": order.output, "sha256": output, "bytes": size, "frames": made.frames},
        "settings": dict(order.settings),
        "seconds": made.seconds,
        "tries": order.tries,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        **made.facts,
        "notes": list(made.notes),
        "not_kept": list(made.not_kept),
        "generated_detail": GENERATED,
        "licences": {"code": CODE, "weights": weights},
    }


def read_record(out: Store, output: str) -> dict[str, Any] | None:
    """Return the record of an output; None if there is none, or none of ours.

    Raises:
        StoreFailed: the store does not answer.
    """
    return _read(out, output + RECORD_SUFFIX)


def facts_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ledgers keep of a record."""
    facts = {"output": record["output"]["name"], "frames": record["output"]["frames"], "seconds": record["seconds"]}
    for name in ("not_kept", "notes"):
        if record.get(name):
            facts[name] = record[name]
    return facts


def bare_facts(made: Made) -> dict[str, Any]:
    """Return what ledgers keep of what was made without an output: all of it."""
    return {"frames": made.frames, "seconds": made.seconds, **made.facts}


def publish_record(out: Store, record: Mapping[str, Any], output: str) -> None:
    """Write the record of an output that is in place; the output is done then."""
    out.write(output + RECORD_SUFFIX, json.dumps(record, indent=1).encode())
    out.remove(_announced(record["key"]))


def announce(out: Store, record: Mapping[str, Any]) -> None:
    """Note the record of an output that is about to be moved into place, for whoever finds that without a record."""
    out.replace(_announced(record["key"]), json.dumps(record, indent=1).encode())


def finish_off(out: Store, order: Order) -> dict[str, Any] | None:
    """Return the record of an order that is done, if it is; a run killed just before it wrote it is helped out.

    Raises:
        StoreFailed: the store does not answer.
    """
    record = read_record(out, order.output)
    if record is not None and record["key"] == order.key and out.find(order.output) is not None:
        return record
    announced = _read(out, _announced(order.key))
    if announced is None or not _is_in_place(out, order, announced):
        return None
    publish_record(out, announced, order.output)
    return announced


def _is_in_place(out: Store, order: Order, announced: Mapping[str, Any]) -> bool:
    """Tell whether the output that was announced is there, and not an earlier one of the same size."""
    there = out.find(order.output)
    if there is None or there.bytes != announced["output"]["bytes"]:
        return False
    if out.is_local:
        return sha256_of(out.local(order.output)) == announced["output"]["sha256"]
    return not order.overwrite


def _announced(key: str) -> str:
    return f"{PARTIAL}/{key}.json"


def _read(out: Store, name: str) -> dict[str, Any] | None:
    try:
        values = json.loads(out.read(name))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("program") == "venhancer" and "key" in values else None
