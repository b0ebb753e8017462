"""The README's two lines in a project that existed before, with what the wheel holds."""

from __future__ import annotations

import subprocess

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.installed import indexed
from tests.servers.processes import die_with_parent, free_port, wait_for

pytestmark = pytest.mark.wheel

OPENING = "The harbour opens at nine on every day but Christmas."


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    """Of a server of the bare project, which has a few pages and asks no model."""
    (bare, _said), port = indexed(), free_port()
    with (tmp_path_factory.mktemp("bare") / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [bare.python, "manage.py", "runserver", f"127.0.0.1:{port}", "--noreload"],
            cwd=bare.project,
            env={**bare.variables, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
    url = f"http://localhost:{port}"

    def answers() -> bool:
        try:
            return httpx.get(url, timeout=5).is_success
        except httpx.HTTPError:
            return False

    try:
        wait_for(answers, seconds=30)
        yield url
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize("has_script", [True, False])
def test_two_lines_are_enough(browser: Browser, address, has_script):
    context = browser.new_context(java_script_enabled=has_script)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Your question").fill("When does the harbour open?")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text(OPENING).first).to_be_visible()
    expect(page.get_by_role("link", name="Opening times").first).to_be_visible()
    if has_script:
        page.get_by_role("button", name="Helpful", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("Thank you.")
    else:
        assert page.url.startswith(f"{address}/answers/search/?q=When")
    context.close()
