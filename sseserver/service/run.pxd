cimport cython

from sseserver.service.linger cimport Linger
from sseserver.steps cimport step
from sseserver.streams.log cimport StreamLog
from sseserver.timing.ticker cimport Ticker
from sseserver.wire cimport frames


cdef Py_ssize_t _LARGE
cdef Py_ssize_t _AHEAD_CHECK


cdef class Run:
    cdef public object state
    cdef public object prompt
    cdef public StreamLog streamLog
    cdef Py_ssize_t _nextCheck
    cdef public double firstToken
    cdef public Py_ssize_t counted
    cdef public Py_ssize_t tokens
    cdef object _counts
    cdef Py_ssize_t _readAhead
    cdef Linger _linger
    cdef object _makeRoom
    cdef object _onEnd
    cdef object _pausing
    cdef object _producer
    cdef object _settings
    cdef object _summarize
    cdef Ticker _sweep
    cdef object _work

    # Not `str`, which would refuse a derived type such as StrEnum.
    cpdef write(self, token)
    @cython.locals(number=Py_ssize_t)
    cpdef writeTokens(self, tokens)
    @cython.locals(number=Py_ssize_t)
    cdef _append(self, kind, bytes data)
    cdef _check(self, kind, Py_ssize_t number, Py_ssize_t size)
