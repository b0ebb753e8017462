from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from demo_site import loader


class Command(BaseCommand):
    help = "Create the pages and users of Tarrowby Harbour. Safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reset", action="store_true", help="Delete the site's pages and load them again."
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="Load even if DEBUG is off. Every user's password is then “demo”.",
        )

    def handle(self, *args, **options) -> None:
        if not settings.DEBUG and not options["force"]:
            raise CommandError(
                "DEBUG is off, and load_demo creates an administrator whose password is "
                f"“{loader.PASSWORD}”. Use --force only if this server is nothing but a demo."
            )
        try:
            report = loader.load(reset=options["reset"])
        except loader.SiteHasContent as error:
            raise CommandError(f"{error} load_demo needs its own database.") from error
        self._write_report(report)

    def _write_report(self, report: loader.Report) -> None:
        if report.removed:
            self.stdout.write(f"Removed {report.removed} pages.")
        if report.pages:
            self.stdout.write(
                self.style.SUCCESS(
                    f"Created {len(report.pages)} pages ({report.drafts} of them drafts, "
                    f"{report.restrictions} restricted with their descendants)."
                )
            )
        if report.kept:
            self.stdout.write(f"Kept {report.kept} existing pages.")
        if report.people:
            self.stdout.write(f"Created {', '.join(report.people)}.")
        self.stdout.write(f"Log in at {settings.WAGTAILADMIN_BASE_URL}/admin/")
        for name in loader.PEOPLE:
            self.stdout.write(f"  {name:<8} {loader.PASSWORD}   {PERMISSIONS[name]}")


PERMISSIONS = {
    "admin": "everything",
    "editor": "writes and publishes pages",
    "member": "no admin access; reads the volunteers’ handbook",
    "trustee": "no admin access; also reads the trustees’ papers",
}
