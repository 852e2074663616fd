from sseserver.formats.rendering cimport EntryRendering
from sseserver.wire cimport frames


cdef int _LF


cdef class EventsRendering(EntryRendering):
    cpdef bytes piece(self, Py_ssize_t number, bytes text, Py_ssize_t index)
    cpdef addPiece(self, Py_ssize_t number, bytes text, Py_ssize_t index, list parts)
