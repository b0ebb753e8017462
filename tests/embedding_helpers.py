"""Parts that the tests of the embeddings share."""

from __future__ import annotations

from finetune_switch.backends.embeddings import get_embedder

from .helpers import run

TEXTS = ["The harbour opens at nine.", "Boats are tarred in spring.", "Rope is made by hand."]


def embed_sync(embedder, texts):
    return embedder.embed(texts)


def embed_async(embedder, texts):
    return run(embedder.aembed(texts))


def chooser(settings):
    """Sets ``FINETUNE_SWITCH["INDEX"]["EMBEDDINGS"]`` and gives the embedder it asks for."""

    def choose(connection, model_name="standin-embed", **options):
        chosen = {"CONNECTION": connection, "MODEL_NAME": model_name, **options}
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {"EMBEDDINGS": chosen}}
        return get_embedder()

    return choose
