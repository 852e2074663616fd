cimport cython

from sseserver.streams.buffer cimport EntryBuffer
from sseserver.streams.segments cimport PackedSegments


cdef class FreshEntries(PackedSegments):
    cdef public list heads

    @cython.locals(size=Py_ssize_t, heads=list)
    cpdef add(self, stream, EntryBuffer buffer, Py_ssize_t first, Py_ssize_t last)
