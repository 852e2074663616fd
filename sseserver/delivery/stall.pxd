from sseserver.timing.ticker cimport Tick, Ticker


cdef class StallWatch(Tick):
    cdef object _watched
    cdef Ticker _ticker
    cdef double _limit
    cdef object _taken
    cdef double _takenAt

    cpdef fire(self, double now)
    cpdef cancelled(self)
