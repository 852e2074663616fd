cimport cython

from sseserver.protocols.chatcompletions.textframe cimport TextFrame
from sseserver.protocols.responses.output cimport OutputPart
from sseserver.protocols.responses.outputwriter cimport OutputWriter


cdef class ResponseTranslator:
    cdef object _account
    cdef object _asked
    cdef TextFrame _frame
    cdef object _identity
    cdef object _outcome
    cdef object _passed
    cdef object _reader
    cdef object _usage
    cdef OutputWriter _writer

    @cython.locals(part=OutputPart, writer=OutputWriter)
    cpdef list translate(self, kind, bytes data)
    cpdef bint skip(self, bytes text, Py_ssize_t count) except -1
    cpdef list writeTexts(self, list texts)
