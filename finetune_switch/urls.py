"""What a site includes for its visitors: ``path("answers/", include("finetune_switch.urls"))``."""

from __future__ import annotations

from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from .deferred import deferred

# The admin's views have the namespace "finetune_switch".
app_name = "finetune_visitors"

urlpatterns = [
    # They look for themselves at where a request comes from; the docstring of the first says why.
    path("ask/", csrf_exempt(deferred("visitors.asking.ask")), name="ask"),
    path(
        "conversation/",
        csrf_exempt(deferred("visitors.conversing.converse")),
        name="conversation",
    ),
    path("about/", csrf_exempt(deferred("visitors.about.about")), name="about"),
    path("feedback/", csrf_exempt(deferred("visitors.feedback.give_feedback")), name="feedback"),
    path("results/", csrf_exempt(deferred("visitors.searching.results")), name="results"),
    path("search/", deferred("visitors.searching.search"), name="search"),
    path("openapi.json", csrf_exempt(deferred("visitors.description.describe")), name="openapi"),
]
