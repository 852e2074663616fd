"""
Texts that run a script, or load something, in a page that shows them in a careless way.

Each calls `canary()`, or asks for a URL with `canary` in it. Each is a single line without spaces at its ends, so that
a page must show it as it is.
"""

from __future__ import annotations

#: Payloads for a page.
PAYLOADS = (
    # Elements that run scripts.
    "<script>canary()</script>",
    "<SCRIPT>canary()</SCRIPT>",
    "<scr<script>ipt>canary()</scr</script>ipt>",
    "<script/x>canary()</script >",
    "<script\t>canary()</script\t>",
    "<script src=//127.0.0.1:1/canary></script>",
    "<script type=module>import('data:text/javascript,canary()')</script>",
    "<svg><script>canary()</script></svg>",
    "<svg><script href=data:text/javascript,canary()></script></svg>",
    "<math><mtext><script>canary()</script></mtext></math>",
    # Handlers of events.
    "<img src=x onerror=canary()>",
    "<img src=x oNeRrOr=canary()>",
    "<img/src=x/onerror=canary()//",
    '<img src="x`" onerror="canary()`">',
    "<img src=x onerror=canary&lpar;&rpar;>",
    "<img src=x onerror=&#99;anary()>",
    "<svg onload=canary()>",
    "<svg/onload=canary()>",
    "<svg><animate onbegin=canary() attributeName=x dur=1s>",
    "<svg><a><animate attributeName=href values=javascript:canary() /><text y=20>x</text></a>",
    "<body onload=canary()>",
    "<body onpageshow=canary()>",
    "<input autofocus onfocus=canary()>",
    "<textarea autofocus onfocus=canary()></textarea>",
    "<details open ontoggle=canary()>x</details>",
    "<audio src=x onerror=canary()>",
    "<video><source onerror=canary()></video>",
    "<object data=x onerror=canary()></object>",
    "<marquee onstart=canary()>x</marquee>",
    "<style onload=canary()></style>",
    "<x contenteditable onfocus=canary() autofocus tabindex=1>x</x>",
    "<div style=animation-name:x onanimationstart=canary()>x</div>",
    # URLs, and elements that load something or lead away.
    "<a href=javascript:canary() autofocus>x</a>",
    "javascript:canary()",
    "data:text/html,<script>canary()</script>",
    "<iframe src=javascript:canary()></iframe>",
    "<iframe srcdoc='<script>parent.canary()</script>'></iframe>",
    "<embed src=data:image/svg+xml,%3Csvg/onload=canary()%3E>",
    "<meta http-equiv=refresh content='0;url=javascript:canary()'>",
    "<meta http-equiv=refresh content=0;url=//127.0.0.1:1/canary>",
    "<base href=//127.0.0.1:1/canary/>",
    "<link rel=stylesheet href=//127.0.0.1:1/canary>",
    "<style>@import'//127.0.0.1:1/canary';</style>",
    "<img src=//127.0.0.1:1/canary>",
    "<form action=//127.0.0.1:1/canary><button autofocus>x</button></form>",
    # Ends of the places where a text may stand.
    '"><script>canary()</script>',
    "'><script>canary()</script>",
    '" onmouseover=canary() autofocus onfocus=canary() x="',
    "' onfocus=canary() autofocus x='",
    "</title><script>canary()</script>",
    "</textarea><script>canary()</script>",
    "</script><script>canary()</script>",
    "--><script>canary()</script><!--",
    "]]><script>canary()</script>",
    "';canary();//",
    '"-canary()-"',
    "${canary()}",
    "{{constructor.constructor('canary()')()}}",
    # Texts that are HTML only after something has decoded them once more.
    "&lt;script&gt;canary()&lt;/script&gt;",
    "%3Cscript%3Ecanary()%3C/script%3E",
    "\\u003cscript\\u003ecanary()\\u003c/script\\u003e",
    "\uff1cscript\uff1ecanary()\uff1c/script\uff1e",
    "+ADw-script+AD4-canary()+ADw-/script+AD4-",
    "\u2028<script>canary()</script>\u2029x",
)

#: Texts that change a terminal, or forge a line, in a log that shows them as they are.
CONTROLS = (
    "\x1b[2J\x1b[31mcanary",
    "\x1b]0;canary\x07",
    "\x9b31mcanary",
    "a\rcanary",
    "a\ncanary",
    "a\x0bcanary\x0c\x85",
    "a\x00canary\x7f",
    "\u202ecanary\u2066",
    "a\u2028canary",
    "\x08\x08canary",
)
