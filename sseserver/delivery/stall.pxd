from sseserver.timing.ticker cimport Tick, Ticker


cdef class StallWatch(Tick):
    cdef object _watched
    cdef Ticker _ticker
    cdef double _limit
    cdef object _taken
    cdef double _takenAt
    cdef double _lookedAt
    cdef Py_ssize_t _written

    cpdef fire(self, double now)
    cpdef cancelled(self)
