"""Every request that the schema allows, and many that it does not, is answered as the schema says; none with 5xx."""

import pytest

schemathesis = pytest.importorskip("schemathesis")

import hypothesis  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from media.clips import make_clip  # noqa: E402
from venhancer.api.app import make_api  # noqa: E402
from venhancer.planning.memory import Machine  # noqa: E402
from venhancer.serving.runner import Runner  # noqa: E402
from venhancer.serving.store import JobStore  # noqa: E402
from venhancer.settings import parse_settings  # noqa: E402
from venhancer.web.guard import Access  # noqa: E402


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """The schema of an API with one job in it."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "inputs").mkdir()
    source = make_clip(folder / "inputs" / "in.mp4", width=32, height=24, rate=8, frames=3)
    store = JobStore(folder / "jobs", inputs=folder / "inputs")
    store.add(source, parse_settings(), name="in.mp4")
    app = make_api(Runner(store, ()), Access(), most_bytes=1 << 20, machine=Machine())
    return schemathesis.openapi.from_asgi("/openapi.json", app)


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_no_request_makes_it_fail(api):
    for found in api.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(max_examples=25, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(case=operation.as_strategy())
        def send(case):
            case.call_and_validate(checks=CHECKS)

        send()


def test_every_route_has_words_and_examples(api):
    routes = api.raw_schema["paths"]
    assert {"/v1/videos", "/v1/video/upscales", "/v1/videos/{identity}/content", "/health"} <= routes.keys()
    for path, methods in routes.items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
    shapes = api.raw_schema["components"]["schemas"]
    assert shapes["Video"]["examples"]
    assert shapes["Refusal"]["examples"]
    for name in ("Video", "Videos", "Health"):
        assert all(
            "description" in field or "const" in field or "items" in field
            for field in shapes[name]["properties"].values()
        )
