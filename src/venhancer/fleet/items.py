"""Items and orders: an item is one source and one output or facts, an order is an item on its way to a worker."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Self

from venhancer.fleet.stores import Stored

RECORD_SUFFIX = ".venhancer.json"


class Item(NamedTuple):
    """One source, and its output or what is to be found out about it.

    Args:
        id: names it in ledgers, logs and messages.
        source: its address.
        output: its name below the folder of outputs; empty if facts for the ledger are all that is made.
        settings: what differs for it from the settings of all, as JSON values.
        stored: what was seen of the source; None if it was not looked for.
        may_be_no_clip: whether it is passed over, instead of failing, if it holds no clip.
        skipped: why it is passed over without a look; empty if it is not.
    """

    id: str
    source: str
    output: str
    settings: Mapping[str, Any] = {}
    stored: Stored | None = None
    may_be_no_clip: bool = False
    skipped: str = ""

    @property
    def bytes(self) -> int:
        """Of the source; 0 if they are not known."""
        return self.stored.bytes if self.stored else 0

    def key(self, job: str) -> str:
        """Return what tells this item, its source's state and its settings within a job from any other."""
        version = self.stored.version if self.stored else ""
        content = [job, self.id, self.output, version, sorted(self.settings.items())]
        return blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    """What travels between processes and machines as values of JSON."""

    def to_json(self) -> dict[str, Any]:
        """Return its values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the message that has these values."""
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Message):
    """An item as a worker gets it: addresses and values of JSON, never pixels.

    Args:
        key: see `Item.key`; names its scratch.
        id: of the item.
        source: its address.
        output: see `Item`.
        settings: all that is asked for, as JSON values.
        may_be_no_clip: see `Item`.
        overwrite: replace an output that is there from elsewhere.
        restart: discard unfinished work.
        tries: which try this is, from 1.
        share: of a film divided over workers: its number, and all shares, see `venhancer.fleet.shares`; None for the
            whole.
        share_frames: output frames of a share, if the film may be divided; 0 if not.
    """

    key: str
    id: str
    source: str
    output: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_be_no_clip: bool = False
    overwrite: bool = False
    restart: bool = False
    tries: int = 1
    share: Mapping[str, Any] | None = None
    share_frames: int = 0


End = Literal["done", "divided", "failed", "skipped", "interrupted", "returned", "unfit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Message):
    """The outcome of an order.

    Args:
        key: of the order.
        end: done; divided, which calls for orders of its shares; failed, which is the item's own fault; skipped, for it
            is no clip; interrupted, as its worker was killed; returned, untouched or to go on with, as the worker was
            asked to stop or could not reach a store; unfit, if the worker can do no order at all.
        reason: in one line, unless it is done.
        facts: of the output.
        log: what the worker's process said, of a failure.
    """

    key: str
    end: End
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
