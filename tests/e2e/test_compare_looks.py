"""The side-by-side page for everybody: each state by axe, on a telephone, under a strict CSP."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from demo_site.middleware import POLICY
from finetune_switch.models import Grade, Question
from finetune_switch.text.characters import without_harmful
from tests.index_helpers import build

from .comparing import (
    ANSWERS,
    QUESTION,
    STATES,
    address,
    answer,
    column,
    is_answered,
    is_pressed,
    judged,
    show_answered,
)
from .looking import NARROW, WIDE, look

pytestmark = pytest.mark.thorough

RIGHT_TO_LEFT = "‮tfel ot thgir‬ ⁧txet‏"
HOSTILE = (
    "<script>window.hacked = 1</script>"
    '<img src="http://tracker.example/p.png" onerror="window.hacked = 2">'
    "[the timetable](javascript:window.hacked=3) ![pixel](http://tracker.example/q.png) "
    '<a href="javascript:window.hacked=4" autofocus onfocus="window.hacked=5">here</a>'
    "</div></article><style>* { display: none }</style>{{ 7|add:7 }} &lt;b&gt; \u2028"
    f"{RIGHT_TO_LEFT}"
)
BOMB = "[" * 5_000 + "*_" * 5_000 + "> " * 5_000 + "\n" + "`" * 10_000 + "](" * 5_000
HUGE = "Unbreakable" * 18_000


@pytest.fixture
def screens(scene):
    """Addresses of the page in each of its states."""
    for text in ("Is there a lift?", QUESTION):
        Question.objects.create(text=text)
    shown = {name: show(scene) for name, show in STATES.items()}
    again = shown["answered"].rstrip("/").rpartition("/")[2]
    return {**shown, "form": "finetune/compare/", "again": f"finetune/compare/?again={again}"}


def show(lead, screens, name):
    lead.go(screens[name])
    page = lead.page
    if name == "judged":
        for details in page.locator("main details").all():
            details.evaluate("details => { details.open = true; }")
    if name == "again":
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Our fine-tune").uncheck()
        lead.press("Compare")
        lead.sees("1 were chosen")


def test_everybody_can_use_it(lead, screens):
    found = {}
    for name in screens:
        lead.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        show(lead, screens, name)
        if wrong := look(lead.page):
            found[name] = wrong
    assert found == {}


def test_everybody_can_use_it_while_they_answer(lead, scene, backends, behave):
    behave(backends["hosted"], answer="word " * 200, tokens_per_second=8)
    behave(backends["tuned"], fault="slow-first-token")
    lead.go(address(scene.compare()))
    expect(answer(lead.page, "A")).to_contain_text("word")
    expect(column(lead.page, "B")).to_contain_text("Waking B")
    assert look(lead.page) == []
    lead.page.get_by_role("button", name="Stop all").click()
    expect(column(lead.page, "A")).to_contain_text("A was stopped.")


def test_tabs_and_the_bar_on_a_telephone(lead, scene):
    page = lead.page
    page.set_viewport_size({"width": 320, "height": 640})
    lead.go(address(judged(scene.answered(ANSWERS[0] * 20, ANSWERS[1]), scene.user)))
    tabs = page.get_by_role("group", name="Answer", exact=True)
    expect(column(page, "A")).to_be_visible()
    expect(column(page, "B")).to_be_hidden()
    assert_bar_in_view(page)
    page.mouse.move(160, 100)
    page.mouse.wheel(0, 700)
    page.wait_for_timeout(500)
    assert_bar_in_view(page)

    tabs.get_by_role("button", name="B").click()
    is_pressed(tabs.get_by_role("button", name="B"))
    expect(column(page, "A")).to_be_hidden()
    expect(answer(page, "B")).to_have_text(ANSWERS[1])
    # The keys grade what is in sight.
    page.keyboard.press("4")
    is_pressed(column(page, "B").locator("[data-key='4']"))
    expect(column(page, "B")).to_contain_text("Saved.")
    assert Grade.objects.filter(is_current=True).count() == 2
    page.mouse.wheel(0, 9000)
    page.wait_for_timeout(500)
    assert_bar_in_view(page)


def assert_bar_in_view(page):
    box = page.locator(".finetune-verdict__row").bounding_box()
    assert box["y"] + box["height"] <= 640 + 1
    assert box["y"] > 300, "it leaves no room for the answers"
    for button in page.locator(".finetune-choices--verdict button").all():
        inside = button.bounding_box()
        assert inside["x"] >= 0
        assert inside["x"] + inside["width"] <= 320
        # On top of whatever it lies over.
        assert button.evaluate(
            """button => {
              const { x, y, width, height } = button.getBoundingClientRect();
              return button.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            }"""
        )


def test_no_focus_hides_behind_the_bar(lead, scene):
    page = lead.page
    page.set_viewport_size({"width": 1280, "height": 600})
    lead.go(address(scene.answered()))
    page.get_by_role("button", name="Differences").focus()
    for _press in range(16):
        page.keyboard.press("Tab")
        # The admin scrolls smoothly.
        page.wait_for_timeout(400)
        hidden = page.evaluate(
            """() => {
              const element = document.activeElement;
              if (!element.closest('.finetune-column')) return 'not in a column';
              const bar = document.querySelector('.finetune-verdict__row').getBoundingClientRect();
              const box = element.getBoundingClientRect();
              return box.bottom > bar.top && box.height < 200 ? element.outerHTML : '';
            }"""
        )
        assert not hidden


def test_hostile_answers_stay_text(lead, scene, backends, behave):
    """As they stream in, and as the page shows them later."""
    behave(backends["hosted"], answer=HOSTILE)
    behave(backends["tuned"], answer=f"{BOMB} {HUGE}")
    page = lead.page
    away, dialogs = watch(lead)
    comparison = scene.compare(question=f"{HOSTILE} {BOMB[:3000]}", retrieval=False)
    lead.go(address(comparison))
    for _look in range(2):
        is_answered(page, "A", "B")
        assert answer(page, "A").text_content().strip() == without_harmful(HOSTILE).strip()
        assert answer(page, "B").text_content().strip() == f"{BOMB} {HUGE}".strip()
        assert answer(page, "A").locator("script, img, a, style").count() == 0
        for width, height in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator(".finetune-verdict__row").is_visible()
        page.set_viewport_size({"width": 1280, "height": 900})
        page.reload()
    # Still to be used, in good time.
    first = column(page, "A")
    first.get_by_text("Correct it, or leave a note").click()
    first.get_by_label("Note").fill(HOSTILE)
    first.get_by_role("button", name="Save").click()
    expect(first).to_contain_text("Saved.")
    expect(first.get_by_label("Note")).to_have_value(re.compile("tracker"))
    column(page, "B").locator("[data-key='2']").click()
    is_pressed(column(page, "B").locator("[data-key='2']"))
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#finetune-wins")).to_be_focused()
    assert page.evaluate("window.hacked") is None
    assert (away, dialogs) == ([], [])


def test_hostile_words_around_the_answers_stay_text(lead, scene, backends):
    backends["hosted"].label = HOSTILE[:120]
    backends["hosted"].save()
    user = scene.colleague()
    user.first_name = "<img src=x onerror=hacked=6>"
    user.save()
    passage = {**scene.passages()[0], "text": HOSTILE}
    passage["source"] = {**passage["source"], "title": HOSTILE}
    comparison = scene.answered(HOSTILE, ANSWERS[1], passages=[passage], is_blind=False)
    grade = {"judge": user, "was_blind": False, "note": HOSTILE, "value": "wrong"}
    Grade.record(comparison.columns.get(position=0).exchange, **grade)
    judged(judged(comparison, user, "B"), scene.user)
    page = lead.page
    away, dialogs = watch(lead)
    lead.go(address(comparison))
    expect(column(page, "A").get_by_role("heading")).to_contain_text("<script>")
    expect(column(page, "A")).to_contain_text(f"· {HOSTILE[:60]}")
    expect(page.locator(".finetune-passage__title")).to_contain_text("<script>")
    assert page.locator("main :is(script:not([src]), img, style)").count() == 0
    assert page.evaluate("window.hacked") is None
    assert (away, dialogs) == ([], [])


def watch(lead):
    """Requests that leave the site, and boxes that a script opens."""
    away, dialogs = [], []

    def see(request):
        if not request.url.startswith((lead.address, "data:", "blob:")):
            away.append(request.url)

    lead.page.on("request", see)
    lead.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    return away, dialogs


def test_a_strict_policy_breaks_nothing(lead, scene, backends, behave):
    """The header stands on each page; what is refused is heard of."""
    for row, said in zip(backends.values(), ANSWERS[:2], strict=True):
        behave(row, answer=said)
    build()
    page = lead.page
    violations = []

    def with_policy(route: Route) -> None:
        if route.request.resource_type != "document":
            route.continue_()
            return
        response = route.fetch(max_redirects=0)
        headers = {**response.headers, "content-security-policy": POLICY}
        route.fulfill(response=response, headers=headers)

    page.route("**/admin/**", with_policy)
    page.expose_function("tellViolation", lambda text: violations.append(text))
    page.add_init_script(
        """document.addEventListener('securitypolicyviolation', (event) => {
             window.tellViolation(`${event.sourceFile}:${event.lineNumber} ` +
               `${event.violatedDirective} ${event.sample}`);
           });"""
    )
    lead.go("finetune/compare/")
    page.get_by_label("Ask what a visitor would ask").fill(QUESTION)
    lead.press("Compare")
    is_answered(page, "A", "B")
    page.keyboard.press("1")
    is_pressed(column(page, "A").locator("[data-key='1']"))
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#finetune-wins")).to_be_focused()
    lead.go(show_answered(scene))
    is_answered(page, "A", "B")
    inline = "main :is(script:not([src]), style, [style], [href^='javascript:'], [onclick])"
    assert page.locator(inline).count() == 0
    assert lead.complaints == []
    assert violations == []
