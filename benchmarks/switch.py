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

    seed = settings.FINETUNE_SWITCH["SEED_BACKEND"]
    values = {"connection": seed["CONNECTION"], "model_name": seed["MODEL_NAME"]}
    fixed = ChatBackend(alias="fixed", label="Fixed", **values)
    chosen = ChatBackend.objects.create(alias="chosen", label="Chosen", **values)
    switch, _created = Switch.objects.get_or_create(site=site)
    switch.activate(chosen, expected=switch.active_id)

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
