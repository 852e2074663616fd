cimport cython

from sseserver.speedups.body cimport Body
from sseserver.streams.log cimport StreamLog
from sseserver.timing.ticker cimport Tick, Ticker


cdef class EventStreamProducer:
    # What each token touches stands together.
    cdef public Py_ssize_t cursor
    cdef public StreamLog streamLog
    cdef object _state
    cdef object _rendering
    cdef Body _body
    cdef Ticker _ticker
    cdef double _quietSince
    cdef bint _behind

    cdef public str reason
    cdef object _request
    cdef object _form
    cdef object _settings
    cdef object _onEnd
    cdef Tick _beat
    cdef object _taken
    cdef double _takenAt

    @cython.locals(cursor=Py_ssize_t, streamLog=StreamLog)
    cpdef wake(self)
