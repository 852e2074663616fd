from sseserver.timing.nextturn cimport NextTurn
from sseserver.timing.ticker cimport Tick, Ticker


cdef double _TOLERANCE
cdef Py_ssize_t _FIRING


cdef class _WordWriter(Tick):
    cdef object _done
    cdef Py_ssize_t _next
    cdef object _sink
    cdef list _words

    cpdef start(self)
    cpdef stopProducing(self)
    cpdef pauseProducing(self)
    cpdef resumeProducing(self)
    cdef bint _write(self) except -1
    cdef _put(self, word)
    cdef _finish(self)


cdef class _PacedWriter(_WordWriter):
    cdef double _due
    cdef double _interval
    cdef NextTurn _nextTurn
    cdef Ticker _ticker

    cpdef fire(self, double now)
    cdef _begin(self)


cdef class _UnpacedWriter(_WordWriter):
    cdef NextTurn _nextTurn
    cdef Py_ssize_t _perTurn

    cpdef fire(self, double now)


cdef class _BatchWriter(_UnpacedWriter):
    cdef _put(self, word)
