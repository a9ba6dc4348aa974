"""The Ray engine on a real cluster of several raylets on this machine, with a craft of milliseconds."""

import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from fleet.faults import is_hand_of_an_actor
from fleet.runs import Memory, environment_of_hands, make_sources, outputs, run_copies, start_run
from venhancer.errors import JobFailed
from venhancer.fleet.ledger import STATES
from venhancer.fleet.metrics import CLIPS, Metrics
from venhancer.fleet.ray_cluster import Pool, RayEngine

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray's own, in its threads and when its sockets are collected


@pytest.fixture(scope="module")
def cluster():
    """A head without workers and two nodes with one each."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = environment_of_hands()["PYTHONPATH"]
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        add_node(cluster)
    ray.init(address=cluster.address, namespace="venhancer", log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def add_node(cluster):
    return cluster.add_node(num_cpus=1, resources={"bench": 1}, object_store_memory=80 * 2**20)


def engine_of(pool: Pool, **more):
    options = {"address": None, "time_limit": 60, **more}
    return lambda setup: RayEngine(setup, pool, **options)


BOTH = Pool(least=2, most=2, resources={"bench": 1})


@pytest.fixture
def folders(tmp_path) -> tuple[str, str]:
    return str(tmp_path / "in"), str(tmp_path / "out")


def actors() -> list[psutil.Process]:
    """Return the processes of this cluster's actors that have hands; all were started by this process."""
    return [hand.parent() for hand in psutil.Process().children(recursive=True) if is_hand_of_an_actor(hand)]


def test_every_clip_becomes_an_output_and_odd_ones_are_put_aside(cluster, folders):
    source, out = folders
    names = make_sources(Path(source), 20, crash=3, broken=7)
    states = run_copies(source, out, engine=engine_of(BOTH))
    assert {name for name, state in states.items() if state == "quarantined"} == {"00003.mp4", "00007.mp4"}
    made = outputs(Path(out))
    assert made == {name: (Path(source) / name).read_bytes() for name in names if states[name] == "done"}
    assert len(made) == 18
    assert run_copies(source, out, engine=engine_of(BOTH)) == states


class Disturbance(Memory):
    """Does something once, when the first clip is done."""

    def __init__(self, do) -> None:
        super().__init__()
        self.do, self.is_done = do, False

    def tell(self, item, state, reason, facts) -> None:
        super().tell(item, state, reason, facts)
        if state == "done" and not self.is_done:
            self.is_done = True
            self.do()


def kill_actors(cluster) -> None:
    found = actors()
    assert found
    for process in found:
        process.kill()


def lose_node(cluster) -> None:
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    add_node(cluster)


@pytest.mark.parametrize("disturb", [kill_actors, lose_node])
def test_lost_actors_and_nodes_are_replaced_and_their_clips_made(cluster, folders, disturb):
    source, out = folders
    names = make_sources(Path(source), 12, slow=5)
    watcher = Disturbance(lambda: disturb(cluster))
    assert set(run_copies(source, out, engine=engine_of(BOTH), watcher=watcher).values()) == {"done"}
    assert watcher.is_done
    assert list(outputs(Path(out))) == names


def test_a_killed_driver_is_gone_on_with(cluster, folders):
    source, out = folders
    names = make_sources(Path(source), 30)
    more = {"ray_address": cluster.address}
    process = start_run(source, out, **more)
    while len(list(Path(out).glob("*.venhancer.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert set(run_copies(source, out, engine=engine_of(BOTH)).values()) == {"done"}
    assert list(outputs(Path(out))) == names


def test_runs_begin_with_the_least_number_and_say_if_it_is_not_there(cluster, folders):
    source, out = folders
    make_sources(Path(source), 4)
    some = Pool(least=1, most=5, resources={"bench": 1})
    assert set(run_copies(source, out, engine=engine_of(some)).values()) == {"done"}
    too_many = Pool(least=1, most=1, resources={"H200": 1})
    make_sources(Path(source), 5)
    with pytest.raises(JobFailed, match=r"only 0 of 1 workers came up in 1 s; `ray status` tells"):
        run_copies(source, out, engine=engine_of(too_many, starting=1))


def test_the_runtime_environment_reaches_the_work(cluster, folders, tmp_path):
    source, out = folders
    make_sources(Path(source), 1)
    noted = {"env_vars": {"FLEET_SEGMENTS": str(tmp_path / "segments")}}
    pool = Pool(resources={"bench": 1}, runtime_env=noted)
    run_copies(source, out, engine=engine_of(pool))
    assert len((tmp_path / "segments").read_text().splitlines()) == 4


def test_rays_exporter_serves_the_numbers_of_a_run(cluster):
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="of ray[default]")
    metrics = Metrics(None, on_ray=True)
    metrics.begin({"a": "waiting", "b": "done"})
    lines: set[str] = set()
    while not lines:  # they travel every few seconds
        time.sleep(0.5)
        metrics.close()
        for node in ray.nodes():
            with suppress(OSError), urlopen(f"http://127.0.0.1:{node['MetricsExportPort']}/metrics") as answer:
                lines |= {line for line in answer.read().decode().splitlines() if line.startswith(f"ray_{CLIPS}{{")}
    assert {state for state in STATES if any(f'state="{state}"' in line for line in lines)} == set(STATES)
