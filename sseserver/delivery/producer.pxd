cimport cython

from sseserver.delivery.readings cimport ReadingProducer
from sseserver.formats.rendering cimport EntryRendering
from sseserver.interfaces.reading cimport Reading
from sseserver.speedups.body cimport FastBody
from sseserver.streams.log cimport StreamLog


cdef Py_ssize_t _LARGE
cdef Py_ssize_t _READ


cdef class EventStreamProducer(ReadingProducer):
    # The fields that each token touches stand together, with the cursor before them.
    cdef public StreamLog streamLog
    cdef public double expires
    cdef object _rendering
    cdef double _quietSince
    cdef bint _behind
    cdef bint _refused
    cdef Py_ssize_t _first
    cdef Py_ssize_t _sent

    cdef public object form
    cdef public object principal
    cdef object _sought

    @cython.locals(entries=EntryRendering, fast=FastBody, reading=Reading, cursor=Py_ssize_t, frames=bytes, streamLog=StreamLog)
    cpdef wake(self)
    cpdef count(self)
