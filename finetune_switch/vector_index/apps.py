from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class VectorIndexAdapterConfig(AppConfig):
    name = "finetune_switch.vector_index"
    label = "finetune_switch_vector_index"
    verbose_name = gettext_lazy("AI answers: wagtail-vector-index")

    def ready(self) -> None:
        from .. import adapters
        from .declared import DeclaredBackends
        from .indexes import RegisteredIndexes

        adapters.register_backends(DeclaredBackends())
        adapters.register_indexes(RegisteredIndexes())
