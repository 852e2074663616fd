cimport cython

from sseserver.streams.account cimport Account
from sseserver.streams.buffer cimport EntryBuffer
from sseserver.streams.keeper cimport Keeper
from sseserver.timing.ticker cimport Tick, Ticker


cdef class StreamLog:
    # Members that each token touches stand together.
    cdef public Py_ssize_t last
    cdef public EntryBuffer buffer
    cdef Keeper _keeper
    cdef public Account account
    cdef Py_ssize_t _window
    cdef public object sole
    cdef Tick _flushing
    cdef Ticker _ticker
    cdef public double announced
    cdef bint _durable
    cdef public bint sealed
    cdef public object state
    cdef public object onChange
    cdef dict _viewers
    cdef list _awaiting

    # Not `str`: an embedder's may derive from it.
    cdef public object name
    cdef public str epoch
    cdef public dict earlier
    cdef public bint published
    cdef public object question
    cdef public dict keys
    cdef public Py_ssize_t keyBytes
    cdef public object created
    cdef public object ended
    cdef dict _renderings
    cdef Py_ssize_t _place
    cdef object _round
    cdef object __weakref__

    @cython.locals(number=Py_ssize_t)
    cpdef Py_ssize_t append(self, kind, bytes data) except -1
    @cython.locals(followed=bint, awaiting=list)
    cpdef commit(self, Py_ssize_t number)
    @cython.locals(now=double)
    cdef _announce(self)
    cpdef _flush(self, double now)
