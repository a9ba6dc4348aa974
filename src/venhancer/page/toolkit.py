"""gradio, imported in two thirds of its time: while its classes are made it need not write its own type stubs.

At import gradio parses the source of each of its components and writes a stub beside it, for editors. Here nobody reads
them, and the folder of an installed package is no place to write to.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

NAME, WRITER, WRITING = "gradio", "gradio.component_meta", "create_or_modify_pyi"


def import_gradio() -> None:
    """Import gradio; with its stubs if it makes them in another way than it did.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if NAME in sys.modules:
        return
    spec = find_spec(NAME)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"there is no {NAME}", name=NAME)
    sys.modules[NAME] = package = module_from_spec(spec)
    try:
        writer = import_module(WRITER)
        if hasattr(writer, WRITING):
            setattr(writer, WRITING, _write_nothing)
    except ImportError:
        for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
            del sys.modules[name]
        import_module(NAME)
    else:
        spec.loader.exec_module(package)


def _write_nothing(*_: object) -> None:
    """Stand in for what writes the stubs."""
