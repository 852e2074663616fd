from sseserver.formats.events cimport EventsRendering


cdef class _EntriesRendering(EventsRendering):
    cpdef bytes piece(self, Py_ssize_t number, bytes text, Py_ssize_t index)
