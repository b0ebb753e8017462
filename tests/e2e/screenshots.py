"""``python -m tests.e2e.screenshots``: the pictures of README and docs, from the running code."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from .browser import chromium, find_chromium
from .demo import running_demo

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH = 1200
MAX_BYTES = 200_000

FINE_TUNE = "Our fine-tune (stand-in on Ollama)"
DEAF = "A fine-tune that ignores its instructions (stand-in on Ollama)"
QUESTION = "What does a family ticket cost?"
HOSTED = "Hosted model (stand-in for OpenAI)"


def main() -> None:
    if find_chromium() is None:
        sys.exit("There is no Chromium on this machine: apt-get install chromium")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder)) as address,
        chromium() as browser,
    ):
        Photographer(browser, address).take_all()


class Photographer:
    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        self.address = address
        self.state = self._log_in()

    def _log_in(self) -> str:
        page = self.browser.new_page()
        page.goto(f"{self.address}/admin/login/")
        page.get_by_label("Username").fill("lead")
        page.get_by_label("Password").fill("demo")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/admin/")
        return page.context.storage_state()

    def open(self, path: str, *, width: int = 1440, height: int = 1000, dark: bool = False) -> Page:
        context = self.browser.new_context(
            # Visitors are not logged in, and see no Wagtail bird in the corner.
            storage_state=self.state if path.startswith("admin/") else None,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto(f"{self.address}/{path}")
        page.wait_for_load_state("networkidle")
        return page

    def take_all(self) -> None:
        self._set_the_scene()
        switch = "admin/finetune/switch/"
        self.take("switch", self.open(switch, height=1030))
        self.take("switch-dark", self.open(switch, height=1030, dark=True))
        self.take("switch-narrow", self.open(switch, width=320, height=1500))
        self.take("switch-narrow-dark", self.open(switch, width=320, height=1500, dark=True))
        self.take("confirm", self._confirm_page())
        self.take("backends", self.open("admin/finetune/backends/", height=620))
        self.take("backend-form", self._form_with_models())
        self.take("check-passed", self._check_page(FINE_TUNE, height=1000))
        self.take("check-deaf", self._check_page(DEAF, height=960))
        self.take("index", self.open("admin/finetune/index/", height=1240))
        compared = self._compare()
        self.take("compare", self.open(compared, height=900))
        self.take("compare-dark", self.open(compared, height=900, dark=True))
        self.take("home-panel", self.open("admin/", height=620))
        page = self.open("admin/settings/finetune_switch/switch/", height=1180)
        self.take("settings", page)
        self.take("site-history", self.open("admin/reports/site-history/", height=700))
        self.take("demo-home", self.open("", height=900))
        question = "ask/?q=What+does+a+family+ticket+cost%3F"
        self.take("demo-ask", self.open(question, height=1000))

    def _set_the_scene(self) -> None:
        """Somebody has checked every backend, tried the fine-tune, and asked a few questions."""
        for label in (HOSTED, FINE_TUNE, DEAF):
            self._check_page(label, again=True).context.close()
        for label in (HOSTED, FINE_TUNE):
            page = self.open("admin/finetune/switch/")
            self._use(page, label)
            page.get_by_text("from the next question on").wait_for()
            page.context.close()
        for question in ("What+does+a+family+ticket+cost%3F", "Is+there+a+lift%3F"):
            self.open(f"ask/?q={question}").context.close()

    def _use(self, page: Page, label: str) -> None:
        card = page.locator("li.finetune-card").filter(has_text=label)
        card.get_by_role("button", name="Use on site").click()

    def _confirm_page(self) -> Page:
        page = self.open("admin/finetune/switch/", height=520)
        self._use(page, DEAF)
        page.get_by_text("did not pass its last check").wait_for()
        return page

    def _check_page(self, label: str, *, height: int = 1000, again: bool = False) -> Page:
        page = self.open("admin/finetune/switch/", height=height)
        link = page.get_by_role("link", name=f"Check {label}")
        # What answers has its link in the list alone.
        if link.count():
            link.click()
        else:
            page.goto(f"{self.address}/admin/finetune/backends/")
            page.get_by_role("link", name=label).first.click()
            page.get_by_role("link", name="Check connection").first.click()
        page.locator("#header-title", has_text=label).wait_for()
        if again:
            page.get_by_role("button", name=re.compile("^Check")).first.click()
            page.locator(".finetune-step").first.wait_for()
        return page

    def _compare(self) -> str:
        """A comparison that somebody has judged, with the names; its path."""
        page = self.open("admin/finetune/compare/")
        page.get_by_label("Ask what a visitor would ask").fill(QUESTION)
        for box in page.locator("[name=backends]").all():
            box.uncheck()
        for label in (HOSTED, FINE_TUNE):
            page.get_by_label(label, exact=False).check()
        page.get_by_role("button", name="Compare", exact=True).click()
        columns = page.locator("article.finetune-column")
        for position in range(2):
            columns.nth(position).locator("[data-key='1']").wait_for()
        page.keyboard.press("ArrowLeft")
        page.get_by_role("button", name="Reveal").click()
        hosted = columns.filter(has_text=HOSTED)
        hosted.wait_for()
        tuned = columns.filter(has_text=FINE_TUNE)
        for column, key in ((hosted, "1"), (tuned, "4")):
            column.locator(f"[data-key='{key}']").click()
            column.locator(f"[data-key='{key}'][aria-pressed=true]").wait_for()
        better = (hosted.locator("h2").text_content() or "").strip()[0]
        page.locator(f"#finetune-choice-{better}").click()
        page.locator(f"#finetune-choice-{better}[aria-pressed=true]").wait_for()
        path = page.url.removeprefix(f"{self.address}/")
        page.context.close()
        return path

    def _form_with_models(self) -> Page:
        page = self.open("admin/finetune/backends/new/", height=900)
        page.get_by_label("Name").first.fill("Our fine-tune, November")
        page.get_by_label("Connection").select_option(value="openai")
        page.get_by_role("button", name="Show models").click()
        page.get_by_role("button", name="standin-hosted", exact=True).wait_for()
        page.mouse.move(0, 0)
        return page

    def take(self, name: str, page: Page) -> None:
        """Save what a window shows, 1200 pixels wide at most, in as many colours as fit."""
        page.evaluate("document.activeElement?.blur()")
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        page.context.close()
        if picture.width > WIDTH:
            height = round(picture.height * WIDTH / picture.width)
            picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
        path = FOLDER / f"{name}.png"
        picture.save(path, optimize=True)
        for colours in (256, 128, 64):
            if path.stat().st_size <= MAX_BYTES:
                break
            picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.relative_to(FOLDER.parents[1])}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
