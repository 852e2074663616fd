from sseserver.streams.log cimport StreamLog
from sseserver.timing.ticker cimport Tick, Ticker


cdef class Run:
    cdef public StreamLog streamLog
    cdef list _awaiting
    cdef bint _ended
    cdef object _hasRoom
    cdef Tick _linger
    cdef object _onEnd
    cdef bint _paused
    cdef object _producer
    cdef object _prompt
    cdef Tick _retrying
    cdef object _settings
    cdef Ticker _sweep
    cdef object _work

    # Not `str`, which would refuse what derives from it, such as a StrEnum.
    cpdef write(self, token)
    cdef _append(self, kind, bytes data)
