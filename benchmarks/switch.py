"""What the switch adds to a question, beside a backend that is fixed in the settings."""

from __future__ import annotations

from .measuring import Comparison, alternate, compare, milliseconds, tell
from .site import migrated_site

MOST_MILLISECONDS = 1.5
RUNS = 2000
WARM_UP = 100
TINY = {"RUNS": 5, "WARM_UP": 1}


def measure(*, postgresql: bool = False) -> list[Comparison]:
    with migrated_site(postgresql=postgresql) as (site, engine):
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
    times = alternate(milliseconds(without), milliseconds(plugin), runs=RUNS, warm_up=WARM_UP)
    return compare(
        f"Finding the active backend, {engine}",
        times,
        target="difference",
        most=MOST_MILLISECONDS,
        note="one query",
    )
