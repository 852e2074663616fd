from sseserver.timing.ticker cimport Tick, Ticker


cdef class Linger(Tick):
    cdef object _asking
    cdef object _isFollowed
    cdef object _onOver
    cdef double _seconds
    cdef object _streamLog
    cdef Ticker _sweep

    cpdef begin(self, double seconds)
    cpdef stop(self)
    cpdef fire(self, double now)
    cpdef _end(self)
    cpdef _take(self, bint followed)
