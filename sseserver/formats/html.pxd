from sseserver.formats.events cimport EventsRendering


cdef class _HTMLRendering(EventsRendering):
    cpdef bytes piece(self, Py_ssize_t number, bytes text, Py_ssize_t index)
    cpdef addPiece(self, Py_ssize_t number, bytes text, Py_ssize_t index, list parts)
