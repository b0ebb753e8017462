"""What the switch adds to a question, beside a backend that is fixed in the settings."""

from __future__ import annotations

from contextlib import ExitStack

from .measuring import Comparison, alternate, compare, milliseconds, tell
from .site import migrated_site, private_postgresql

MOST_MILLISECONDS = 1.5
RUNS = 2000


def measure(*, postgresql: bool = False) -> list[Comparison]:
    with ExitStack() as stack:
        database = stack.enter_context(private_postgresql()) if postgresql else None
        site, engine = stack.enter_context(migrated_site(database))
        tell(f"switch: {RUNS} runs each on {engine}")
        return [_measure(site, engine)]


def _measure(site: object, engine: str) -> Comparison:
    from django.conf import settings

    from finetune_switch.backends import get_backend
    from finetune_switch.models import ChatBackend, Switch

    chosen = ChatBackend.objects.get(alias="test-model")
    switch = Switch.objects.create(site=site)
    switch.activate(chosen, expected=None)
    seed = settings.FINETUNE_SWITCH["SEED_BACKEND"]
    fixed = ChatBackend(
        alias="fixed", label="Fixed", connection=seed["CONNECTION"], model_name=seed["MODEL_NAME"]
    )

    def without() -> object:
        return get_backend(fixed)

    def plugin() -> object:
        return get_backend(Switch.for_question(site).backend)

    assert plugin().config.model_name == without().config.model_name
    times = alternate(milliseconds(without), milliseconds(plugin), runs=RUNS, warm_up=100)
    return compare(
        f"Finding the active backend, {engine}",
        times,
        target="difference",
        most=MOST_MILLISECONDS,
        note="one query",
    )
