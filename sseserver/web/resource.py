"""
Resources of twisted.web written as coroutines.

Every resource of an API is an `AsyncResource`. Its methods return the body of the answer or raise
an `SSEServerError`; this module turns both into HTTP. Any other exception is logged and answered
with a bare 500: no traceback reaches a client, and no HTML an event stream.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sseserver.delivery.document import Document
from sseserver.errors import MethodNotAllowed, NotFound, SSEServerError
from sseserver.service.viewers import Viewers
from sseserver.tracebacks import forgetTraceback
from sseserver.web.answers import answerError, finishAnswer

log = Logger(__name__)

#: Methods that a resource can support. Each resource with GET also supports HEAD.
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")


#: The result of a method.
Body = bytes | Document | None


class AsyncResource(Resource):
    """
    A resource whose methods are coroutines: `async def GET(self, request)`.

    A method returns the body (`bytes` or a `Document`) to be sent, or `None` if the response is
    written elsewhere. An `SSEServerError` becomes an answer in JSON. HEAD calls `GET`, which must
    start nothing then; its body is not sent.

    Args:
        viewers: The viewers of the service. `None` for a resource whose answers are short.
    """

    def __init__(self, viewers: Viewers | None = None) -> None:
        super().__init__()
        self._viewers = viewers

    def getChild(self, path: bytes, request: Request) -> Resource:
        """
        See `Resource.getChild`: a trailing slash leads back to the resource, which has no children.
        """
        return NotFoundResource() if path else self

    def render(self, request: Request) -> Any:
        """Start the coroutine of the request's method."""
        answering = self._answer(request)
        try:
            # Most methods wait for nothing: a Deferred would be wasted on them.
            waited = answering.send(None)
        except StopIteration:
            return NOT_DONE_YET
        except BaseException:
            self._answerBug(Failure(), request)
            return NOT_DONE_YET
        Deferred.fromCoroutine(_resume(answering, waited)).addErrback(self._answerBug, request)
        return NOT_DONE_YET

    def listMethods(self) -> list[str]:
        """Return the names of the methods that this resource supports."""
        return [name for name in _METHODS if hasattr(self, "GET" if name == "HEAD" else name)]

    async def _answer(self, request: Request) -> None:
        try:
            body = await self._callMethod(request)
            if body is not None:
                finishAnswer(request, body, self._viewers)
        except SSEServerError as error:
            finishAnswer(request, answerError(request, error), self._viewers)
            forgetTraceback(error)

    def _callMethod(self, request: Request) -> Coroutine[Any, Any, Body]:
        name = request.method.decode("ascii", "replace")
        method: Callable[[Request], Coroutine[Any, Any, Body]] | None = None
        if name in _METHODS:
            method = getattr(self, "GET" if name == "HEAD" else name, None)
        if method is None:
            allowed = ", ".join(self.listMethods())
            request.responseHeaders.setRawHeaders(b"Allow", [allowed.encode("ascii")])
            raise MethodNotAllowed(f"This resource does not support {name}. Use one of: {allowed}.")
        return method(request)

    def _answerBug(self, failure: Failure, request: Request) -> None:
        """Log an unexpected exception, and tell the client nothing of it."""
        log.failure("A request could not be answered", failure)
        if request.startedWriting:
            request.loseConnection()
        else:
            error = SSEServerError("The server failed to answer this request.")
            finishAnswer(request, answerError(request, error), self._viewers)


@coroutine
def _resume(begun: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    """
    Run the rest of a coroutine that has been started.

    Args:
        begun: The coroutine.
        waited: The first Deferred that it awaits.
    """
    while True:
        try:
            result = yield waited
        except GeneratorExit:
            # Garbage collection: the objects that the coroutine would use next may be gone before
            # it.
            begun.close()
            raise
        except BaseException as problem:
            step = partial(begun.throw, problem)
        else:
            step = partial(begun.send, result)
        try:
            waited = step()
        except StopIteration:
            return


class NotFoundResource(AsyncResource):
    """
    Answers 404 to all methods that any resource supports.

    It also stands for the inner nodes of the tree of URLs: children are added with `putChild`.
    """

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: every child is unknown."""
        return NotFoundResource()

    async def GET(self, request: Request) -> bytes:
        """Raise `NotFound`."""
        raise NotFound("No resource has this URL.")

    POST = PUT = DELETE = GET
