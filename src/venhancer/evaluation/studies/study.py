"""What a study is: one setting, the values it takes, and what should come of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from venhancer.errors import SettingsError

Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of the model on one clip.

    Args:
        scale: how many times smaller the input is made, and the output larger again.
        factor: every so many-th frame is the input's; the others are made.
        settings: further fields of `EnhanceSettings`.
    """

    scale: float
    factor: int
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """What the clip is said to show."""
        return str(self.settings.get("prompt", ""))

    def setting(self, **settings: object) -> Self:
        """Return the same with these settings laid over its own."""
        return replace(self, settings={**self.settings, **settings})


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A setting varied on the same clips while all others stay.

    Args:
        name: on the command line and of files.
        what: the setting and the values, for people.
        expected: what should come of it if the setting works.
        values: it takes, in the order of tables; the first is the one others are compared with.
        ask: changes what is asked of the model to a value.
        label: of a value in tables, `{}` standing for it.
        choices: the only values it can take; any number if empty.
        shows_motion: whether motion strips tell more than stills.
        is_refining: whether clips are inputs themselves, refined at their own size and rate: there is no truth then.
        is_extra: whether it is done only when named.
    """

    name: str
    what: str
    expected: str
    values: tuple[Value, ...]
    ask: Callable[[Ask, Value], Ask]
    label: str = "{}"
    choices: tuple[str, ...] = ()
    shows_motion: bool = False
    is_refining: bool = False
    is_extra: bool = False

    def label_of(self, value: Value) -> str:
        """Return how a value is called in tables."""
        return self.label.format(value if isinstance(value, str) else f"{value:g}")

    def with_values(self, text: str) -> Self:
        """Return the study with other values, given as "1,3,7.5".

        Raises:
            SettingsError: one is unknown or no number, or one is given twice.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        values: list[Value] = list(words) if self.choices else [_number(self.name, word) for word in words]
        unknown = [value for value in values if self.choices and value not in self.choices]
        if unknown or not values or len(set(values)) < len(values):
            allowed = f"different ones of {', '.join(self.choices)}" if self.choices else "different numbers"
            raise SettingsError(f"study {self.name}: values {text!r} must be {allowed}, commas between")
        return replace(self, values=tuple(values))


def _number(study: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise SettingsError(f"study {study}: {word!r} is not a number; give them as --values {study}=1,2") from None
