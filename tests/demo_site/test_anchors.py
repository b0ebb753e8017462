"""Sources link to the block that a passage comes from."""

from __future__ import annotations

import re
from urllib.parse import urldefrag

from bs4 import BeautifulSoup, Tag
from django.test import TestCase
from wagtail.models import Page

from benchmarks import quality
from finetune_switch.access import Asker
from finetune_switch.models import Chunk
from finetune_switch.search import retrieve
from tests.databases import remove_site

QUESTIONS = (
    "How much is a ticket for a family?",
    "When is the museum open in winter?",
    "Can we take our dog on a boat trip?",
)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


class AnchorTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        remove_site()
        quality.build_demo()

    def soup(self, url: str, **query: str) -> BeautifulSoup:
        response = self.client.get(url, query)
        assert response.status_code == 200, url
        return BeautifulSoup(response.content, "html.parser")

    def follow(self, url: str) -> Tag:
        """The element that a link points to."""
        page, anchor = urldefrag(url)
        found = self.soup(page).find_all(id=anchor)
        assert len(found) == 1, (url, found)
        return found[0]

    def test_ask_page_links_to_the_prices(self) -> None:
        links = [a["href"] for a in self.soup("/ask/", q=QUESTIONS[0]).select(".sources a")]
        # Where its passage begins, on a page that has the price.
        assert [self.follow(link) for link in links if "#" in link]
        assert "£24" in self.soup(urldefrag(links[0])[0]).get_text(" ")

    def test_links_to_a_block_of_the_passage(self) -> None:
        followed = 0
        for question in QUESTIONS:
            for passage in retrieve(question, asker=Asker.anonymous()):
                if "#" in passage.source.url:
                    block = self.follow(passage.source.url)
                    # A passage may begin with the text before it.
                    lines = [words(line) for line in passage.text.splitlines() if line]
                    # What is folded begins with the summary, which is outside of the block.
                    shown = block.find_parent("details") or block
                    there = words(shown.get_text(" "))
                    # The index writes "open" before hours, where the page has a table.
                    assert any(len(line & there) > 0.8 * len(line) for line in lines), passage
                    followed += 1
        assert followed >= 5

    def test_anchors_of_questions_are_inside_details(self) -> None:
        # Browsers open <details> if the target of the link is inside.
        page = self.soup("/visit/questions/")
        folded = page.select("main details")
        assert len(folded) > 5
        for details in folded:
            assert [tag.parent for tag in details.select("[id^=block-]")] == [details]

    def test_all_anchors_exist(self) -> None:
        anchors: dict[str, set[str]] = {}
        for chunk in Chunk.objects.exclude(anchor="").select_related("document"):
            anchors.setdefault(chunk.document.object_id, set()).add(chunk.anchor)
        assert len(anchors) >= 20
        self.client.login(username="trustee", password="demo")
        for page in Page.objects.filter(pk__in=anchors, live=True).public():
            ids = [tag["id"] for tag in self.soup(page.get_url()).select("main [id]")]
            assert anchors[str(page.pk)] <= set(ids), page
            assert len(ids) == len(set(ids)), page
