cimport cython

from sseserver.protocols.responses.output cimport Output, OutputPart
from sseserver.wire cimport frames


cdef class OutputWriter:
    cdef public Py_ssize_t number
    cdef public OutputPart part
    cdef bytes _lead
    cdef bytes _middle
    cdef bytes _tail
    cdef Output _output
    cdef dict _calls

    @cython.locals(number=Py_ssize_t)
    cdef bytes writePiece(self, OutputPart part, bytes text)
    cpdef bint skip(self, bytes text, Py_ssize_t count) except -1
    @cython.locals(number=Py_ssize_t, whole=bytes)
    cpdef list writeTexts(self, list texts)
