"""
Resources of twisted.web written as coroutines.

Every resource of an API is an `AsyncResource`. Its methods return the body of the answer or raise
an `SSEServerError`; this module turns both into HTTP. Any other exception is logged and answered
with a bare 500: no traceback reaches a client, and no HTML an event stream.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

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

    Attributes:
        advice: A sentence for clients that use another method; empty for none.
    """

    advice: ClassVar[str] = ""

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
        waited.addBoth(self._goOn, answering, request)
        return NOT_DONE_YET

    def _goOn(self, result: Any, answering: Coroutine[Any, Any, None], request: Request) -> None:
        """
        Go on with the coroutine of a request: the Deferred that it awaits has fired.

        `Deferred.fromCoroutine` would make a Deferred of its own for a result that nobody waits for.
        """
        try:
            # It takes the result out of the Deferred itself.
            problem: Any = result.value if isinstance(result, Failure) else None
            waited = answering.send(None) if problem is None else answering.throw(problem)
        except StopIteration:
            return
        except BaseException:
            self._answerBug(Failure(), request)
        else:
            waited.addBoth(self._goOn, answering, request)

    def listMethods(self) -> list[str]:
        """Return the names of the methods that this resource supports."""
        return [name for name in _METHODS if hasattr(self, "GET" if name == "HEAD" else name)]

    async def _answer(self, request: Request) -> None:
        try:
            body = await self._callMethod(request)
            if body is not None:
                finishAnswer(request, body, self._viewers)
        except SSEServerError as error:
            finishAnswer(request, self._answerError(request, error), self._viewers)
            forgetTraceback(error)

    def _callMethod(self, request: Request) -> Coroutine[Any, Any, Body]:
        name = request.method.decode("ascii", "replace")
        method: Callable[[Request], Coroutine[Any, Any, Body]] | None = None
        if name in _METHODS:
            method = getattr(self, "GET" if name == "HEAD" else name, None)
        if method is None:
            allowed = ", ".join(self.listMethods())
            request.responseHeaders.setRawHeaders(b"Allow", [allowed.encode("ascii")])
            text = f"This resource does not support {name}. Use one of: {allowed}. {self.advice}"
            raise MethodNotAllowed(text.rstrip())
        return method(request)

    def _answerBug(self, failure: Failure, request: Request) -> None:
        """Log an unexpected exception, and tell the client nothing of it."""
        log.failure("A request could not be answered", failure)
        if request.startedWriting:
            request.loseConnection()
        else:
            error = SSEServerError("The server failed to answer this request.")
            finishAnswer(request, self._answerError(request, error), self._viewers)

    def _answerError(self, request: Request, error: SSEServerError) -> bytes:
        """
        Set the status and the headers of an error, and return its body, in the shape of OpenAI's API.

        The resources of an API with another shape override it.
        """
        return answerError(request, error)


class NotFoundResource(AsyncResource):
    """
    Answers 404 to all methods that any resource supports.

    It also stands for the inner nodes of the tree of URLs: children are added with `putChild`.

    Attributes:
        message: The message of the error.
    """

    message = "No resource has this URL."

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: every child is unknown."""
        return NotFoundResource()

    async def GET(self, request: Request) -> bytes:
        """Raise `NotFound`."""
        raise NotFound(self.message)

    POST = PUT = DELETE = GET
