import os
import subprocess
import sys

import psutil
import pytest
import torch

from venhancer.errors import SettingsError
from venhancer.planning.machine import find_machine, free_memory, machine_of
from venhancer.runtime.devices import choose_dtype


def test_free_memory_is_within_the_machine():
    assert psutil.Process().memory_info().rss < free_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(("dtype", "size"), [("fp32", 4), ("bf16", 2), ("fp16", 2)])
def test_a_value_takes_what_its_format_says(dtype, size):
    assert (find_machine("cpu", dtype).number_format, find_machine("cpu", dtype).value_bytes) == (dtype, size)


def test_plans_choose_the_number_format_that_loading_does():
    processor = torch.device("cpu")
    loaded = machine_of(processor, choose_dtype("auto", processor))
    assert find_machine("cpu").number_format == loaded.number_format


def test_unknown_names_are_refused():
    with pytest.raises(SettingsError, match="dtype fp8 is unknown; pass auto, fp32, bf16, fp16"):
        find_machine("cpu", "fp8")
    with pytest.raises(SettingsError, match="device cuda:99 is not on this machine"):
        find_machine("cuda:99")


def test_planning_for_a_processor_loads_no_torch():
    program = (
        "import sys; from venhancer.planning import machine; machine.find_machine('cpu'); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.strip() == "False"
