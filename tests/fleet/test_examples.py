"""The examples run as far as can be known here: files parse, schemas hold, and every command is one."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from venhancer.cli.main import make_parser

EXAMPLES = Path(__file__).parents[2] / "examples" / "fleet"
CONTAINER = {
    "type": "object",
    "required": ["name", "image"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "envFrom": {"type": "array"},
        "resources": {"type": "object", "properties": {"limits": {"additionalProperties": {"type": "string"}}}},
        "volumeMounts": {"type": "array", "items": {"required": ["name", "mountPath"]}},
    },
}
TEMPLATE = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "required": ["containers"],
            "additionalProperties": False,
            "properties": {"containers": {"type": "array", "items": CONTAINER}, "volumes": {"type": "array"}},
        }
    },
}
RAY_PARAMETERS = {"type": "object", "additionalProperties": {"type": "string"}}
RAYJOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": {"required": ["name"]},
        "spec": {
            "additionalProperties": False,
            "required": ["entrypoint", "rayClusterSpec"],
            "properties": {
                "entrypoint": {"type": "string"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": {"type": "integer"},
                "backoffLimit": {"type": "integer"},
                "rayClusterSpec": {
                    "additionalProperties": False,
                    "required": ["headGroupSpec"],
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "headGroupSpec": {
                            "additionalProperties": False,
                            "required": ["rayStartParams", "template"],
                            "properties": {"rayStartParams": RAY_PARAMETERS, "template": TEMPLATE},
                        },
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": {
                                "additionalProperties": False,
                                "required": ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
                                "properties": {
                                    "groupName": {"type": "string"},
                                    "replicas": {"type": "integer"},
                                    "minReplicas": {"type": "integer"},
                                    "maxReplicas": {"type": "integer"},
                                    "rayStartParams": RAY_PARAMETERS,
                                    "template": TEMPLATE,
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The part of KubeRay's resource that the example uses, all else refused: fields, types and what is required are as in
its `ray-operator/apis/ray/v1/rayjob_types.go` and `raycluster_types.go`."""

SKYPILOT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["run"],
    "properties": {
        "name": {"type": "string"},
        "num_nodes": {"type": "integer"},
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "accelerators": {"type": "string"},
                "use_spot": {"type": "boolean"},
                "disk_size": {"type": "integer"},
            },
        },
        "setup": {"type": "string"},
        "run": {"type": "string"},
    },
}
"""The part of a SkyPilot task that the example uses, as in `sky/utils/schemas.py` of SkyPilot 0.14.1."""


def commands(text: str) -> list[list[str]]:
    """Return the words of every `venhancer` command in a text, numbers in place of variables."""
    joined = re.sub(r"\\\n\s*#?\s*", " ", text)
    found = re.findall(r"venhancer (fleet run .*)", re.sub(r"\$\{\w*RANK\}|\$\{\w*TASK_ID\}", "0", joined))
    return [shlex.split(re.sub(r"\$\{\w+\}", "4", line)) for line in found]


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_command_of_an_example_parses(path):
    text = path.read_text()
    if path.name.startswith("kuberay"):
        text = yaml.safe_load(text)["spec"]["entrypoint"]
    words = commands(text)
    assert words
    for one in words:
        arguments, unknown = make_parser().parse_known_args(one)
        assert (unknown, arguments.source is None) == ([], False)


def test_the_slurm_script_is_one_for_bash():
    script = EXAMPLES / "slurm_array.sh"
    subprocess.run(["bash", "-n", script], check=True)
    options = dict(re.findall(r"(?m)^#SBATCH --(\w[\w-]*)(?:=(\S+))?", script.read_text()))
    shards = int(re.search(r'TASK_ID\}/(\d+)"', script.read_text())[1])
    assert options["array"] == f"0-{shards - 1}"


def test_the_cluster_is_one_for_ray_up():
    ray = pytest.importorskip("ray")
    cluster = yaml.safe_load((EXAMPLES / "ray_cluster.yaml").read_text())
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]


def test_the_kuberay_job_has_the_fields_of_its_resource():
    job = yaml.safe_load((EXAMPLES / "kuberay_rayjob.yaml").read_text())
    jsonschema.validate(job, RAYJOB)
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert f"--workers {workers['minReplicas']}-{workers['maxReplicas']}" in job["spec"]["entrypoint"]


def test_the_skypilot_task_has_the_fields_of_one():
    jsonschema.validate(yaml.safe_load((EXAMPLES / "skypilot.yaml").read_text()), SKYPILOT)
