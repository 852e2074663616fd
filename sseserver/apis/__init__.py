"""
The APIs: families of URLs with one wire protocol each.

Each is a package: `native` (`/streams`), `chat` (OpenAI's `/v1`), `responses` (`/v1/responses`),
`messages` (Anthropic's `/v1/messages`), `ollama` (Ollama's `/ollama/api`), `ui` (the Vercel AI
SDK's `/api/chat`), `durable` (`/durable`, for readers of Durable Streams), `agui` (AG-UI's
`/agui`), `page` (`/`), `session` (`/session`), `admin` (`/healthz`, `/readyz`, and the site of
`--admin-listen`). `makeAPIs` is the list of them.

A new API is a package here, a line in `makeAPIs`, a module in `sseserver.protocols` for its JSON,
and a format if it streams. CONTRIBUTING.md has the steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import succeed
from twisted.web.resource import IResource

from sseserver.apis.admin.forwarding import Forwarding
from sseserver.apis.admin.health import Health, Readiness
from sseserver.apis.admin.measured import Measured
from sseserver.apis.admin.metrics import Metrics
from sseserver.apis.admin.operations import HEALTH_CHECKS, OPERATORS, PAGE
from sseserver.apis.admin.page import AdminPage, leadToPage
from sseserver.apis.admin.site import AdminResource
from sseserver.apis.admin.status import Status, describeProcess
from sseserver.apis.admin.viewerlist import ViewerList
from sseserver.apis.admin.workers import WatchedPool, WorkersMetrics, WorkersReadiness
from sseserver.apis.agui.agent import Agent
from sseserver.apis.agui.operations import AGENT
from sseserver.apis.chat.completions import LEGACY, Completions
from sseserver.apis.chat.models import Models
from sseserver.apis.chat.operations import CHAT as CHAT_API
from sseserver.apis.durable.operations import DURABLE
from sseserver.apis.durable.streams import DurableStreams
from sseserver.apis.messages.messages import Messages
from sseserver.apis.messages.operations import MESSAGES
from sseserver.apis.native.operated import OperatedStreams
from sseserver.apis.native.operations import makeNative, makeOperated
from sseserver.apis.native.streams import StreamCollection
from sseserver.apis.ollama.answers import Answers
from sseserver.apis.ollama.models import Show, Tags, Version
from sseserver.apis.ollama.operations import OLLAMA
from sseserver.apis.ollama.resource import Embeddings, Unknown
from sseserver.apis.page.operations import makePage
from sseserver.apis.page.page import ASSETS, PACKAGE, Page
from sseserver.apis.page.visitor import Visitor
from sseserver.apis.responses.creation import Responses
from sseserver.apis.responses.operations import RESPONSES
from sseserver.apis.session.operations import SESSION
from sseserver.apis.session.session import Session
from sseserver.apis.ui.chats import Chats
from sseserver.apis.ui.operations import CHATS
from sseserver.formats import makeFormats
from sseserver.protocols.ollama import CHAT, GENERATE
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.values import MODEL
from sseserver.web.access.gate import Gate
from sseserver.web.access.rights import Access
from sseserver.web.assets import AssetFile, AssetFolder
from sseserver.web.openapi.document import DocumentBuilder, Guard
from sseserver.web.openapi.operations import DESCRIPTION
from sseserver.web.openapi.resource import OpenAPI

#: Names of the formats, for a process that has none itself.
FORMATS = tuple(makeFormats(MODEL))


def makeAPIs(service: StreamService, prompt: str | None, access: Access, gate: Gate) -> dict[str, IResource]:
    """
    Make the resources of all APIs.

    Args:
        service: The service that runs the token source and keeps the streams.
        prompt: The prompt of the visitors of the page; see `StreamResource`.
        access: Checks the rights of requests.
        gate: The gate that all their requests have passed.

    Returns:
        The resources by their paths below the mount point, without slashes at the ends.
    """
    page = Page(service.source)
    resources: dict[str, IResource] = {
        "": Visitor(service, page, access, prompt, gate),
        "assets": AssetFolder(PACKAGE, ASSETS, service.viewers),
        # Browsers ask for it beside pages that name no icon, such as answers in JSON.
        "favicon.ico": AssetFile(PACKAGE, "icon.svg", service.viewers),
        "streams": StreamCollection(service, page.answer, access),
        "v1/chat/completions": Completions(service, access),
        "v1/completions": Completions(service, access, LEGACY),
        "v1/models": Models(service, access),
        "v1/responses": Responses(service, access),
        "v1/messages": Messages(service, access),
        "api/chat": Chats(service, access),
        "durable": DurableStreams(service, access),
        "agui": Agent(service, access),
        "healthz": Health(),
        "readyz": Readiness(service),
        "openapi.json": OpenAPI(partial(describeAPIs, service, access), service.viewers),
    }
    if service.settings.ollama:
        resources |= {"ollama": Unknown(), "ollama/api": Unknown()}
        resources |= {f"ollama/api/{endpoint}": Answers(endpoint, service, access) for endpoint in (CHAT, GENERATE)}
        resources |= {"ollama/api/tags": Tags(service, access), "ollama/api/show": Show(service, access)}
        resources |= {f"ollama/api/{name}": Embeddings() for name in ("embed", "embeddings")}
        resources |= {"ollama/api/version": Version()}
    if access.credentials is not None:
        resources["session"] = Session(service, access, access.credentials)
    return resources


def describeAPIs(service: StreamService, access: Access) -> dict[str, Any]:
    """
    Return the OpenAPI document of the APIs that `makeAPIs` makes.

    Args:
        service: See `makeAPIs`.
        access: See `makeAPIs`.
    """
    formats = tuple(service.formats)
    optional = (OLLAMA,) if service.settings.ollama else ()
    apis = (
        makeNative(formats),
        makePage(formats),
        CHAT_API,
        RESPONSES,
        MESSAGES,
        CHATS,
        DURABLE,
        AGENT,
        *optional,
        SESSION,
        HEALTH_CHECKS,
        DESCRIPTION,
    )
    guard = describeGuard(access, access.credentials is not None)
    return DocumentBuilder("sseserver", apis, service.settings, guard).build()


def describeGuard(access: Access, hasSessions: bool) -> Guard:
    """
    Describe the credentials that a site asks for.

    Args:
        access: Checks them.
        hasSessions: Whether there are sessions.
    """
    # An authenticator of an embedder may fetch keys.
    fetchesKeys = access.credentials is None or access.credentials.fetchesKeys
    return Guard(access.asks, hasSessions, access.asks and fetchesKeys)


def makeAdmin(measured: Measured, hosts: Iterable[str] = (), access: Access | None = None) -> AdminResource:
    """
    Make the root of the site for operators, for a server of one process.

    Args:
        measured: The parts of the server.
        hosts: See `AdminResource`.
        access: Checks the rights of operators; `None` leaves out their page, and everything that it needs.
    """
    service = measured.service
    description = OpenAPI(partial(describeOperators, access, tuple(service.formats)))
    root = AdminResource(Readiness(service), Metrics(measured), description, hosts)
    if access is not None:
        status = Status(access, lambda: succeed({0: describeProcess(measured)}))
        root.putChild(b"admin", AdminPage(status, ViewerList(service, access)))
        root.putChild(b"streams", OperatedStreams(service, leadToPage, access))
    return root


def makePoolAdmin(pool: WatchedPool, hosts: Iterable[str] = (), access: Access | None = None) -> AdminResource:
    """
    Make the root of the site for operators, for a pool of workers.

    Args:
        pool: The pool.
        hosts: See `AdminResource`.
        access: See `makeAdmin`. The workers have their own.
    """
    description = OpenAPI(partial(describeOperators, access, FORMATS))
    readiness, metrics = WorkersReadiness(pool.askReadiness), WorkersMetrics(pool.askMetrics, pool.count)
    root = AdminResource(readiness, metrics, description, hosts)
    if access is not None:
        forwarding = Forwarding(pool.reactor, pool.connect)
        root.putChild(b"admin", AdminPage(Status(access, pool.askStatus), forwarding))
        root.putChild(b"streams", forwarding)
    return root


def describeOperators(access: Access | None, formats: tuple[str, ...]) -> dict[str, Any]:
    """
    Return the OpenAPI document of the site for operators.

    Args:
        access: See `makeAdmin`.
        formats: Names of the formats.
    """
    page = () if access is None else (PAGE, makeOperated(formats))
    apis = (OPERATORS, *page, HEALTH_CHECKS, DESCRIPTION)
    guard = Guard(False, False, False) if access is None else describeGuard(access, hasSessions=False)
    return DocumentBuilder("sseserver, for operators", apis, Settings(), guard).build()
