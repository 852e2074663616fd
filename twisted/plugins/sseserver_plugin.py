"""Makes `twistd sseserver`. Every `twistd` call loads this file: it imports nothing of ours."""

from twisted.application.service import ServiceMaker

sseserver = ServiceMaker(
    "sseserver",
    "sseserver.tap",
    "Stream text token by token to browsers and programs, over Server-Sent Events.",
    "sseserver",
)
