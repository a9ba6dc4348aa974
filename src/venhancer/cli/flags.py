"""Flags of the command line, made from the fields of `EnhanceSettings`; every mistake in them is one line.

Nothing about a setting is written here twice: its flag is its name, its help is its description, the values it takes
and its default. Each command adds the few flags that are no settings.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from venhancer.errors import SettingsError
from venhancer.model_files.traits import ModelTraits, SamplingDefaults, load_traits
from venhancer.settings import EnhanceSettings, allowed_values, field_schemas, parse_settings

_KINDS: dict[Any, str] = {int: "N", float: "N", Fraction: "N", int | None: "N", Path | None: "FILE"}
"""What stands for a value in the help, by the field's type."""

SHORTER = {"prompt": "-p", "noise_augmentation": "--noise-aug"}
"""Second names of settings that are typed often."""


GROUPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "size and rate": (
        ("scale", "size", "fps", "slow"),
        ("input_fps", "start", "end", "shots", "drop_duplicates", "deinterlace"),
    ),
    "look": (
        ("prompt", "noise_augmentation", "seed"),
        (
            *("negative_prompt", "prompt_suffix", "guidance_scale", "guidance_rescale"),
            *("guidance_from", "guidance_until", "start_timestep"),
            *("start_noise", "downscale_factor", "posterior"),
            *("color_fix", "background", "keep_damaged", "published"),
        ),
    ),
    "output": (("codec", "crf"), ("pix_fmt", "encoder")),
    "speed and memory": (
        ("model", "preset", "memory"),
        (
            *("steps", "solver", "timetable", "penultimate", "window_frames", "window_overlap", "window_fade"),
            *("tile", "offload", "feature_reuse", "compile"),
        ),
    ),
}
"""Settings by what they are about: those that `--help` shows, which most people use, and those `--help-all` adds."""

RARE = {name for _, rest in GROUPS.values() for name in rest} | {
    *("adapter", "adapter_apart", "decoder", "restart", "json", "quiet", "device", "devices", "dtype", "debug"),
    "key_frames",
}

Command = Callable[[argparse.Namespace], None]


class HelpFormatter(argparse.HelpFormatter):
    """Help that names the value once: `-p, --prompt TEXT`, the same in every version of Python."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {action.metavar}"


class ShortHelp(HelpFormatter):
    """Help without the flags that few people use."""

    def add_argument(self, action: argparse.Action) -> None:
        """Add a flag, unless it is rare."""
        if action.dest not in RARE:
            super().add_argument(action)


class HelpAll(argparse.Action):
    """The flag that shows every flag."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Show the whole help and end."""
        parser.formatter_class = HelpFormatter
        parser.epilog = None
        parser.print_help()
        parser.exit()


class OneLineParser(argparse.ArgumentParser):
    """A parser that refuses with one line about what is allowed, and that guesses no flag."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse makes the parsers of commands, its own way
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **options)

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - argparse has overloads for this
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; where a command has a name of two words, as `train index`, they count as one."""
        words = list(sys.argv[1:] if args is None else args)
        choices = [name for action in self._actions if action.nargs == argparse.PARSER for name in action.choices or ()]
        if " ".join(words[:2]) in choices:
            words[:2] = [" ".join(words[:2])]
        return super().parse_known_args(words, namespace or argparse.Namespace())

    def error(self, message: str) -> NoReturn:
        """Refuse arguments that do not parse.

        Raises:
            SettingsError: always.
        """
        flag = re.match(r"argument \S*?--([a-z-]+)", message)
        name = flag[1].replace("-", "_") if flag else ""
        allowed = f"it takes {allowed_values(name)}" if name in EnhanceSettings.model_fields else self._pointer
        raise SettingsError(f"{message}; {allowed}")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Refuse arguments that nothing takes, naming the first flag among them and the one it resembles.

        Raises:
            SettingsError: always.
        """
        flag = next((word for word in unknown if word.startswith("-")), None)
        if flag is None:
            raise SettingsError(f"unexpected {' '.join(unknown)}; {self._pointer}")
        name = flag.partition("=")[0]
        near = get_close_matches(name, self._option_string_actions, n=1)
        raise SettingsError(f"unknown flag {name}; {f'did you mean {near[0]}?' if near else self._pointer}")

    @property
    def _pointer(self) -> str:
        return f"see `{self.prog} --help`"


def add_command(commands: argparse._SubParsersAction, name: str, run: Command, takes: str, what: str) -> OneLineParser:
    """Return the parser of a new command, which leaves `run` and itself among the arguments."""
    usage = " ".join(filter(None, ("%(prog)s", takes, "[flags]")))
    parser: OneLineParser = commands.add_parser(name, help=what, description=what, usage=usage)
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_device_flags(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the flags for the networks' device, or `several` that share one video, and number format."""
    group = parser.add_argument_group("hardware")
    group.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:1, mps; default auto.")
    if several:
        shared = "Several devices for one video, such as 0,1 or cpu,cpu, in place of --device."
        group.add_argument("--devices", metavar="NAMES", help=shared)
    group.add_argument("--dtype", metavar="NAME", default="auto", help="auto, bf16, fp16, fp32; default auto.")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one flag for every setting of an enhancement; `--help` shows the usual ones, `--help-all` all."""
    parser.formatter_class = ShortHelp
    parser.epilog = f"`{parser.prog} --help-all` shows all flags."
    parser.add_argument("--help-all", action=HelpAll, nargs=0, help="Show all flags and exit.")
    from_model = {field.name for field in fields(SamplingDefaults)}
    places = {name: title for title, (usual, rest) in GROUPS.items() for name in (*usual, *rest)}
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    for name, title in places.items():
        field, group = EnhanceSettings.model_fields[name], groups[title]
        if field.annotation is bool:
            add_switch(group, name, field)
            continue
        names = [*([short] if (short := SHORTER.get(name)) else []), f"--{name.replace('_', '-')}"]
        default = "the model's" if name in from_model else field.default
        takes = allowed_values(name) + (f"; default {default}" if default not in (None, "") else "")
        group.add_argument(
            *sorted(names, key=len),
            dest=name,
            default=argparse.SUPPRESS,
            metavar=_placeholder(field_schemas()[name]),
            help=f"{field.description} ({takes})",
        )


def add_fields(parser: argparse.ArgumentParser, settings: type[BaseModel]) -> None:
    """Add one flag for every field of other settings; a field that is yes or no takes no value."""
    group = parser.add_argument_group("settings")
    for name, field in settings.model_fields.items():
        if field.annotation is bool:
            add_switch(group, name, field)
            continue
        flag = f"--{name.replace('_', '-')}"
        is_pair = isinstance(field.default, tuple)
        default = "x".join(str(side) for side in field.default) if is_pair else field.default
        text = f"{field.description} (default {default})" if default not in (None, "") else field.description
        kind = "WxH" if is_pair else _KINDS.get(field.annotation, "TEXT")
        group.add_argument(flag, dest=name, default=argparse.SUPPRESS, metavar=kind, help=text)


def add_switch(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    """Add the flag of a field that is yes or no, which takes no value: `--name`, or `--no-name` for one that is on."""
    flag = name.replace("_", "-")
    extra = field.json_schema_extra
    help_text = str(extra["off"]) if field.default and isinstance(extra, dict) else field.description
    group.add_argument(
        f"--no-{flag}" if field.default else f"--{flag}",
        dest=name,
        action="store_const",
        const=not field.default,
        default=argparse.SUPPRESS,
        help=help_text,
    )


def given_fields(arguments: argparse.Namespace, settings: type[BaseModel]) -> dict[str, object]:
    """Return the values of the flags that `add_fields` made and that were given."""
    return {name: value for name, value in vars(arguments).items() if name in settings.model_fields}


def add_key_frames(parser: argparse.ArgumentParser) -> None:
    """Add the flag for key frames of the user's own."""
    parser.add_argument_group("your own key frames").add_argument(
        "--key-frame",
        dest="key_frames",
        action="append",
        default=[],
        metavar="N=FILE",
        help="Picture, as large as the output, that takes the place of input frame N, counted from 0. May be repeated.",
    )


def add_own_weights(parser: argparse.ArgumentParser) -> None:
    """Add the flags for files that change the model."""
    group = parser.add_argument_group("your own weights")
    group.add_argument(
        "--adapter",
        metavar="FILE",
        type=Path,
        help="Adapters that training left, merged into the model; their sampling defaults replace the model's.",
    )
    group.add_argument(
        "--adapter-apart",
        action="store_true",
        help="Keep adapters beside the weights instead: exact in 16 bits, where merging rounds them; a little slower.",
    )
    group.add_argument(
        "--decoder",
        metavar="tiny=FILE",
        type=tiny_decoder,
        help="Weights of TAESD's or TAESDV's decoder, for v1, v2 and models trained from them: a fraction of the time, "
        "less exact pictures.",
    )


def read_traits(model: str, arguments: argparse.Namespace) -> ModelTraits:
    """Return the traits of a model with the weights of one's own that the flags name.

    Raises:
        SettingsError: they cannot be had together.
        WeightsError: a file is not there, or of the wrong kind.
    """
    return load_traits(model, arguments.adapter, arguments.decoder, adapter_apart=arguments.adapter_apart)


def tiny_decoder(text: str) -> Path:
    """Return the file in "tiny=FILE".

    Raises:
        ArgumentTypeError: it is something else.
    """
    kind, _, path = text.partition("=")
    if kind != "tiny" or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not tiny=FILE, such as tiny=taesdv.safetensors")
    return Path(path)


def read_key_frames(arguments: argparse.Namespace) -> dict[int, Path]:
    """Return the pictures that the flags give, by the numbers of the input frames they replace.

    Raises:
        SettingsError: one line about the first that cannot be.
    """
    pictures: dict[int, Path] = {}
    for text in arguments.key_frames:
        number, _, path = text.partition("=")
        if not (re.fullmatch(r"[0-9]{1,9}", number) and path):
            raise SettingsError(f"key-frame {text} is not a frame and a picture; pass --key-frame 12=edited.png")
        if int(number) in pictures:
            raise SettingsError(f"key-frame {number} is given twice; pass one picture for a frame")
        pictures[int(number)] = Path(path)
    return pictures


def read_settings(arguments: argparse.Namespace) -> EnhanceSettings:
    """Return the settings that the given flags mean.

    Raises:
        SettingsError: one line naming each value that cannot be.
    """
    values = vars(arguments)
    return parse_settings(**{name: values[name] for name in EnhanceSettings.model_fields if name in values})


def _placeholder(schema: dict[str, Any]) -> str:
    """Return what stands for a value in the help."""
    kinds = [branch.get("type") for branch in schema.get("anyOf", [schema])]
    if "array" in kinds:
        return "WxH"
    if "number" in kinds or "integer" in kinds:
        return "N"
    return "NAME" if any("enum" in branch for branch in schema.get("anyOf", [schema])) else "TEXT"
