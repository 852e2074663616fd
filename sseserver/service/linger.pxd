from sseserver.timing.ticker cimport Tick, Ticker


cdef class Linger(Tick):
    cdef object _onOver
    cdef object _streamLog
    cdef Ticker _sweep

    cpdef begin(self, double seconds)
    cpdef stop(self)
    cpdef fire(self, double now)
