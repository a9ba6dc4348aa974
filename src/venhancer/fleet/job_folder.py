"""The folder of outputs as the folder of one job: settings and weights are noted in it, and others are refused."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from venhancer.errors import InputError
from venhancer.fleet.stores import OWN, Store
from venhancer.jobs.origin import differences, fingerprint
from venhancer.model_files.folders import find_model
from venhancer.settings import EnhanceSettings

JOB = f"{OWN}/job.json"


def describe_job(settings: EnhanceSettings) -> dict[str, Any]:
    """Return what all outputs of a job depend on: the settings of all, and the model by its files.

    Raises:
        WeightsError: the model does not exist.
    """
    chosen = settings.model_dump(mode="json", exclude={"model"})
    return {"model": fingerprint(find_model(settings.model)), **{key.replace("_", " "): chosen[key] for key in chosen}}


def fingerprint_of(job: Mapping[str, Any]) -> str:
    """Return what tells a job from any other."""
    return blake2b(json.dumps(dict(job), sort_keys=True).encode(), digest_size=12).hexdigest()


def claim_folder(out: Store, job: Mapping[str, Any], *, overwrite: bool = False) -> str:
    """Note the job in its folder, or see that it is noted there, and return its fingerprint.

    Args:
        out: the folder of outputs.
        job: from `describe_job`.
        overwrite: take the folder over from another job; its outputs are replaced one by one.

    Raises:
        InputError: another job's outputs are there; one line names what differs.
        StoreFailed: the folder cannot be read or written.
    """
    before = read_job(out)
    differing = [] if before is None else differences(before, job)
    if differing and not overwrite:
        job_there = f"{out.describe()} holds the outputs of another job ({'; '.join(differing)})"
        raise InputError(f"{job_there}; choose another folder, or pass --overwrite")
    if before is None or differing:
        content = {"program": "venhancer", "format": 1, "version": version("venhancer"), "job": dict(job)}
        out.write(JOB, json.dumps(content, indent=1).encode())
    return fingerprint_of(job)


def read_job(out: Store) -> dict[str, Any] | None:
    """Return the job that is noted in a folder of outputs; None if there is none.

    Raises:
        InputError: what is noted is damaged, or of another program.
        StoreFailed: the folder cannot be read.
    """
    try:
        content = out.read(JOB)
    except OSError:
        return None
    try:
        values = json.loads(content)
        if values["program"] != "venhancer" or values["format"] != 1:
            raise ValueError("another format")
        return dict(values["job"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{out.describe(JOB)} is damaged or from another program or version; move {out.address}/{OWN} away"
        ) from error
