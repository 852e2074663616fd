cimport cython

from sseserver.delivery.stall cimport StallWatch
from sseserver.reading cimport Reading
from sseserver.steps cimport findNext
from sseserver.streams.log cimport StreamLog


cdef class EventStreamProducer:
    # The fields that each token touches stand together.
    cdef public Py_ssize_t cursor
    cdef public StreamLog streamLog
    cdef object _state
    cdef object _rendering
    cdef object _body
    cdef double _quietSince
    cdef bint _behind
    cdef bint _refused

    cdef public str reason
    cdef public object request
    cdef object _form
    cdef object _delivery
    cdef StallWatch _watch

    @cython.locals(reading=Reading, cursor=Py_ssize_t, streamLog=StreamLog)
    cpdef wake(self)
