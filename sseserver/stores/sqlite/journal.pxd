cimport cython

from sseserver.stores.groups cimport BufferedEntries
from sseserver.stores.sqlite.rows cimport FreshEntries
from sseserver.streams.buffer cimport EntryBuffer


cdef class JournaledStream:
    cdef public object number
    cdef public EntryBuffer buffer
    cdef public Py_ssize_t written
    cdef public Py_ssize_t filed
    cdef public Py_ssize_t gathered
    cdef public bint isUnfiled
    cdef public Py_ssize_t place
    cdef public Py_ssize_t planned


cdef class Plan:
    cdef public object transaction
    cdef public dict created
    cdef public list added
    cdef public list fresh
    cdef public Py_ssize_t joined
    cdef public dict filed
    cdef public list ended
    cdef public list deleted


cdef class Journal:
    cdef dict _numbers
    cdef Py_ssize_t _nextNumber
    cdef dict _streams
    cdef Py_ssize_t _place
    cdef Py_ssize_t _mark
    cdef dict _unfiled

    cpdef Plan plan(self, changes)
    @cython.locals(stream=JournaledStream)
    cpdef accept(self, Plan plan)
    @cython.locals(stream=JournaledStream, entries=BufferedEntries, rows=FreshEntries, last=Py_ssize_t)
    cdef _add(self, Plan plan, addition)
    @cython.locals(first=Py_ssize_t)
    cdef _file(self, Plan plan, JournaledStream stream, Py_ssize_t last)
    cdef _fileOthers(self, Plan plan)
