cimport cython

from sseserver.protocols.responses.output cimport Output, OutputPart


cdef class ResponseTranslator:
    cdef object _asked
    cdef dict _calls
    cdef object _frame
    cdef object _identity
    cdef bytes _lead
    cdef bytes _middle
    cdef Py_ssize_t _number
    cdef object _outcome
    cdef Output _output
    cdef OutputPart _part
    cdef object _passed
    cdef object _reader
    cdef bytes _tail
    cdef object _usage

    @cython.locals(part=OutputPart)
    cpdef list translate(self, kind, bytes data)
    cpdef bint skip(self, bytes text, Py_ssize_t count) except -1
    cpdef list writeTexts(self, list texts)
    @cython.locals(number=Py_ssize_t)
    cdef bytes _writePiece(self, OutputPart part, bytes text)
