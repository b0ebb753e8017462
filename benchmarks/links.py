"""How soon a visitor has the links to the best pages, while the model sleeps or is down.

From the request to the event that brings them, one visitor after the other, on one worker under
ASGI: each leaves as soon as the links are there.
"""

from __future__ import annotations

import http.client
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.servers import processes

from .listening import percentile_95
from .measuring import Comparison, tell
from .sides import MODEL, Site, demo_site, start_plugin, switch_to, visitors_request

ASKS = 100
# In which the process imports litellm, and loads the index.
WARM_UP = 5
TINY = {"ASKS": 3, "WARM_UP": 1}
MOST_MILLISECONDS = 200.0
MODELS = {
    "awake": {"connection": "openai", "model_name": MODEL, "parameters": {"max_tokens": 5}},
    "asleep": {"connection": "openai", "model_name": "fault-slow-first-token"},
    "down": {"connection": "nowhere", "model_name": MODEL},
}


def measure(*, postgresql: bool = False) -> list[Comparison]:
    with demo_site(postgresql=postgresql) as site, _server(site) as url:
        tell(f"links: {ASKS} questions each on {site.engine}")
        asked = visitors_request(url, site.questions)
        switch_to("openai", **MODELS["awake"])
        list(itertools.islice(_wait_for_links(asked), WARM_UP))
        found = {}
        for state, values in MODELS.items():
            switch_to("openai", **values)
            found[state] = percentile_95(list(_wait_for_links(asked)))
    return [
        Comparison(
            f"Links to the best pages, 95th percentile, model {state}, {site.engine}",
            found["awake"],
            found[state],
            ASKS,
            "most",
            MOST_MILLISECONDS,
            "without: a model that answers at once",
        )
        for state in ("asleep", "down")
    ]


@contextmanager
def _server(site: Site) -> Iterator[str]:
    pace = ("--tokens-per-second", "0", "--first-token-seconds", "0")
    with processes.standin_process(site.folder, *pace) as standin:
        server = start_plugin(site, standin)
        try:
            yield server.url
        finally:
            server.stop()


def _wait_for_links(asked: dict[str, Any]) -> Iterator[float]:
    """Seconds, of each question."""
    bodies: Sequence[str] = asked["bodies"]
    url = urlsplit(asked["url"])
    for body in itertools.islice(itertools.cycle(bodies), ASKS):
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
        started = time.perf_counter()
        connection.request("POST", url.path, body.encode(), asked["headers"])
        response, said = connection.getresponse(), b""
        while b"event: sources\n" not in said:
            if response.status != 200 or not (piece := response.read1()):
                raise RuntimeError(f"status {response.status}, and no links: {said!r}")
            said += piece
        yield time.perf_counter() - started
        connection.close()
