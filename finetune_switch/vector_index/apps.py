from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy


class VectorIndexAdapterConfig(AppConfig):
    name = "finetune_switch.vector_index"
    label = "finetune_switch_vector_index"
    verbose_name = gettext_lazy("AI answers: wagtail-vector-index")

    # Reported by a system check. Raising it in ready() would prevent `manage.py check`.
    import_error: ImportError | None = None

    def ready(self) -> None:
        if not apps.is_installed("wagtail_vector_index"):
            return
        from finetune_switch import adapters

        try:
            from .declared import DeclaredBackends
            from .indexes import RegisteredIndexes, declared_field_names, models_in_our_index
        except ImportError as error:
            self.import_error = error
            return
        adapters.register_backends(DeclaredBackends())
        adapters.register_indexes(RegisteredIndexes())
        adapters.register_indexed_models(models_in_our_index)
        adapters.register_indexed_fields(declared_field_names)
