"""moto's S3 server over HTTP on this machine, which refuses what writes when it is told to."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Refusals:
    """Answers 503 to what writes, in front of the server's application.

    Args:
        application: of the server.
    """

    def __init__(self, application) -> None:
        self.application = application
        self.left = 0
        """How many requests are refused from now on."""

    def __call__(self, environ, start_response):
        if self.left > 0 and environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            self.left -= 1
            start_response("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>reduce your request rate</Message></Error>"]
        return self.application(environ, start_response)

    @contextmanager
    def always(self) -> Iterator[None]:
        """Refuse all of them within the block."""
        self.left = 1 << 62
        try:
            yield
        finally:
            self.left = 0


@contextmanager
def serve() -> Iterator[tuple[Refusals, dict[str, str]]]:
    """Yield what refuses, and the environment of programs that use the server."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from s3fs import S3FileSystem
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line a request
    S3FileSystem.clear_instance_cache()  # which would talk to an earlier server
    refusals = Refusals(DomainDispatcherApplication(create_backend_app))
    http = make_server("127.0.0.1", 0, refusals, threaded=True)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield (
        refusals,
        {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{http.server_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        },
    )
    http.shutdown()
    thread.join()
