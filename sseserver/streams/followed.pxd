cimport cython

from sseserver.timing.ticker cimport Tick, Ticker


cdef double _TICK


cdef class FollowedLog:
    cdef dict _renderings
    cdef Py_ssize_t _place
    cdef object _round

    # Members that each token touches stand together, and before those of `StreamLog`.
    cdef public object sole
    cdef Tick _flushing
    cdef Ticker _ticker
    cdef public double announced
    cdef public object state
    cdef public object onChange
    cdef dict _viewers

    @cython.locals(now=double)
    cdef _announce(self)
    cpdef _flush(self, double now)
