"""The command behind ``make demo``: sets up the demo, then runs it until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from demo_site.standin_address import port_file

START_TIMEOUT_SECONDS = 20


class Command(BaseCommand):
    help = "Set up the demo site and run it, with its worker and its stand-in model server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--no-setup", action="store_true", help="Start the demo without setting it up."
        )
        parser.add_argument(
            "--setup-only", action="store_true", help="Set the demo up without starting it."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["setup_only"] and _is_taken(options["port"]):
            raise CommandError(
                f"Port {options['port']} is in use. Choose another: make demo PORT=8001"
            )
        # Includes the variables from .env.
        if "WAGTAILADMIN_BASE_URL" not in os.environ:
            settings.WAGTAILADMIN_BASE_URL = f"http://localhost:{options['port']}"
            os.environ["WAGTAILADMIN_BASE_URL"] = settings.WAGTAILADMIN_BASE_URL
        if not options["no_setup"]:
            self._set_up()
        if options["setup_only"]:
            return
        processes: list[subprocess.Popen[bytes]] = []
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            if not (settings.OPENAI_API_KEY and settings.OLLAMA_API_BASE):
                processes.append(self._start_standin(options["port"]))
            processes.append(_manage("db_worker", "--interval", "2"))
            site = _manage("runserver", f"127.0.0.1:{options['port']}", "--noreload")
            processes.append(site)
            self._wait_for_site(site, options["port"])
            self._write_addresses(options["port"])
            # Takes a minute, since the stand-in models write as slowly as real ones.
            processes.append(_manage("load_evaluation"))
            site.wait()
        except KeyboardInterrupt:
            self.stdout.write("\nStopping.")
        finally:
            _stop(processes)

    def _set_up(self) -> None:
        self._write_step("Creating the database tables")
        call_command("migrate", interactive=False, verbosity=0)
        self._write_step("Loading the demo's pages")
        call_command("load_demo")
        self._write_step("Adding the chat backends")
        call_command("load_backends")
        self._write_step("Indexing the pages (in this process; nothing is sent anywhere)")
        call_command("finetune_switch", "index", verbosity=0)
        self._write_step("Asking questions as visitors")
        call_command("load_visitors")

    def _start_standin(self, port: int) -> subprocess.Popen[bytes]:
        self._write_step(
            "Starting a stand-in model server on this machine (no key, or no Ollama, is set)"
        )
        # No other demo uses this port, so the file is a leftover.
        written = port_file(port)
        written.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "demo_site.standin", "--port-file", str(written)],
            cwd=settings.BASE_DIR,
        )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not written.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CommandError("The stand-in model server did not start.")
            time.sleep(0.05)
        return process

    def _wait_for_site(self, site: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _is_taken(port):
            if site.poll() is not None or time.monotonic() > deadline:
                raise CommandError("The site did not start; see its output above.")
            time.sleep(0.1)

    def _write_addresses(self, port: int) -> None:
        base = f"http://127.0.0.1:{port}"
        lines = [
            "",
            self.style.SUCCESS("The demo is running. Ctrl-C stops it."),
            f"  The site          {base}/",
            f"  Ask a question    {base}/ask/",
            f"  The admin         {base}/admin/   AI answers, in the menu",
            "  Log in as         admin (everything), lead (switches models), editor (writes",
            "                    pages), member (no admin); the password is demo",
            "  Command line      . .venv/bin/activate",
            "                    python manage.py finetune_switch --help",
        ]
        if not settings.OPENAI_API_KEY or not settings.OLLAMA_API_BASE:
            standin = json.loads(port_file(port).read_text())["url"]
            lines.append(f"  Stand-in models   {standin} (set OPENAI_API_KEY or OLLAMA_API_BASE")
            lines.append("                    in .env for the real ones)")
        self.stdout.write("\n".join(lines) + "\n")
        self.stdout.flush()

    def _write_step(self, what: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"==> {what}"))
        self.stdout.flush()


def _manage(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in reversed(processes):
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
