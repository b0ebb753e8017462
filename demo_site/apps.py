from django.apps import AppConfig


class DemoSiteConfig(AppConfig):
    name = "demo_site"
    verbose_name = "Tarrowby Harbour"
    default_auto_field = "django.db.models.BigAutoField"
