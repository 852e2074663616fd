"""
The Markdown of the page in Chromium, against the examples of CommonMark and while it grows.
"""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread

from tests.integration.chatpage import ChatPageTestCase
from tests.integration.node import nodeFolder

#: Prints the examples of the specification.
SPECIFICATION = 'import spec from "commonmark-spec"; console.log(JSON.stringify(spec.tests));'

CHECK = Path(__file__).with_name("markdowncheck.js").read_text("utf-8")

#: Sections that the page does not claim: HTML is text, and images are links.
UNCLAIMED = {"HTML blocks", "Raw HTML", "Images"}

#: Numbers of other examples that the page does not claim, by the reason.
EXCEPTIONS = {
    "has HTML": {21, 31, 201, 308, 309, 344, 475, 476, 477, 491, 494, 524, 536, 642, 643},
    "has an image": {517, 520, 531},
    "has rare names of characters": {25},
    "has a scheme that the page does not link": {596, 598, 599, 601},
    "has a bare URL, which the page links": {602, 608, 611},
}

#: Texts as models write them. Nothing of them may be shown in one way and then in another.
TEXTS = (
    "# A **bold** title\n\nSome *emphasis*, **strong**, ***both***, `code`, ~~gone~~, [link](https://x.org/a_b 't').\n",
    "With 5*x, 3 * 4 and snake_case_name, and [1] or [a](b).\n\n## Next `part`\n\n**`code` in bold** and *more.*\n",
    "A list:\n\n- one\n- **two** with `c`\n  - inside [x](y)\n\n1. Bold: **x**\n2. Two\n\n   in the item\n3. Three\n",
    "Text, then a list:\n- one\n- two\n\nand text\n* three\n\n> quote *a*\n> more\n\n---\n\nThe end.\n",
    "Code:\n\n```python\ndef f(x):\n    return x * 2  # `a`\n```\n\nand more, ``a ` b``.\n\n    indented\n\nText\n",
    "| Name | **Value** |\n| --- | ---: |\n| **a** | `1` |\n| b | [c](d) |\n\nText | with a bar\n",
    "- [ ] to do\n- [x] done\n\nLast &amp; least: a < b, <b>no HTML</b>. Ends with *emphasis*",
)


@cache
def readExamples() -> list[dict[str, Any]]:
    """Return the claimed examples of the specification; in it, an arrow stands for a tab."""
    folder = nodeFolder(SPECIFICATION, "commonmark-spec@0.31.2")
    output = subprocess.run(["node", "main.js"], cwd=folder, capture_output=True, check=True, timeout=60).stdout
    examples = json.loads(output.decode("utf-8").replace("\u2192", "\\t"))
    without = set().union(*EXCEPTIONS.values())
    return [each for each in examples if each["section"] not in UNCLAIMED and each["number"] not in without]


class MarkdownTests(ChatPageTestCase):
    """Markdown as DOM nodes."""

    async def check(self, examples: list[dict[str, Any]], texts: tuple[str, ...]) -> Any:
        """Run the checks in the page."""
        await self.open(self.url)
        await self.untilState("ready")
        self.browser.set_script_timeout(120)
        result = await deferToThread(self.browser.execute_async_script, CHECK, examples, list(texts))
        self.assertIsInstance(result, dict, result)
        return result

    async def test_specification(self) -> None:
        """The page shows each claimed example of CommonMark as the specification does, whole and in pieces."""
        examples = await deferToThread(readExamples)
        self.assertEqual(len(examples), 540)
        result = await self.check(examples, ())
        self.assertEqual((result["different"], result["unsteady"]), ([], []))

    async def test_noFlicker(self) -> None:
        """Whatever is shown of a growing text stays as it is: marks without their partners are not shown."""
        result = await self.check([], TEXTS)
        self.assertEqual(result["flicker"], [])

    async def test_harmless(self) -> None:
        """HTML is text, images are links, and a link that could run a script or read a file leads nowhere."""
        await self.open(self.url)
        await self.type("Attack!\r")
        run = await self.untilAsked(1)
        run.sink.write(
            "<img src=x onerror=alert(1)> <script>alert(1)</script>\n\n<iframe src=//evil.example></iframe>\n\n"
            "[a](javascript:alert(1)) [b](java&#10;script:alert(1)) [c](data:text/html,x) [d](vbscript:x) [e](file:///etc)"
            " <javascript:alert(1)> ![f](https://evil.example/pixel.png) [g](//evil.example) [h](https://good.example)\n\n"
            "[i]\n\n[i]: javascript:alert(1)\n\n```<script>\n</code><script>alert(1)</script>\n```\n"
        )
        run.end()
        await self.untilState("finished")
        found = await self.script(
            "const text = document.getElementById('text');"
            " return [[...text.querySelectorAll('a[href]')].map(a => a.getAttribute('href')),"
            " [...new Set([...text.querySelectorAll('*')].map(each => each.localName))].sort(),"
            " [...text.querySelectorAll('a[href]')].every(a => /noopener/.test(a.rel) && a.target === '_blank')]"
        )
        addresses = ["https://evil.example/pixel.png", "//evil.example", "https://good.example"]
        self.assertEqual(found, [addresses, ["a", "button", "code", "div", "p", "pre", "span"], True])
        self.assertIn("<script>alert(1)</script>", await self.text())
        self.assertEqual(await deferToThread(self.browser.get_log, "browser"), [])
