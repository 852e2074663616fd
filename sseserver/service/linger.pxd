from sseserver.timing.ticker cimport Tick, Ticker


cdef class Linger:
    cdef object _onOver
    cdef object _streamLog
    cdef Ticker _sweep
    cdef Tick _tick

    cpdef begin(self, double seconds)
    cpdef stop(self)
