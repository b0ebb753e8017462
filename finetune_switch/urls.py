"""URLs for visitors: ``path("answers/", include("finetune_switch.urls"))``."""

from __future__ import annotations

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from .visitors.endpoints.about import about
from .visitors.endpoints.ask import ask
from .visitors.endpoints.conversation import converse
from .visitors.endpoints.description import describe
from .visitors.endpoints.feedback import give_feedback
from .visitors.endpoints.search import results, search

# The namespace of the admin's views is "finetune_switch".
app_name = "finetune_visitors"

urlpatterns = [
    # They check the origin of a request instead of a CSRF token; see visitors/endpoints/guards.py.
    path("ask/", csrf_exempt(ask), name="ask"),
    path(
        "conversation/",
        csrf_exempt(converse),
        name="conversation",
    ),
    path("about/", csrf_exempt(about), name="about"),
    path("feedback/", csrf_exempt(give_feedback), name="feedback"),
    path("results/", csrf_exempt(results), name="results"),
    path("search/", search, name="search"),
    path("openapi.json", csrf_exempt(describe), name="openapi"),
]
