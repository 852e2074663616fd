cimport cython

from sseserver.streams.account cimport Account
from sseserver.streams.buffer cimport EntryBuffer
from sseserver.streams.followed cimport FollowedLog
from sseserver.streams.keeper cimport Keeper


cdef Py_ssize_t _COST
cdef Py_ssize_t _IDLE


cdef class StreamLog(FollowedLog):
    # Members that each token touches stand together.
    cdef public Py_ssize_t last
    cdef public EntryBuffer buffer
    cdef Keeper _keeper
    cdef public object kept
    cdef public Account account
    cdef Py_ssize_t _window
    cdef bint _durable
    cdef public bint sealed
    cdef list _awaiting

    # Not `str`: an embedder's may derive from it.
    cdef public object name
    cdef public str epoch
    cdef public dict earlier
    cdef public bint published
    cdef public object question
    cdef public object origin
    cdef public dict keys
    cdef public Py_ssize_t keyBytes
    cdef public object created
    cdef public object ended
    cdef object __weakref__

    @cython.locals(number=Py_ssize_t)
    cpdef Py_ssize_t append(self, kind, bytes data) except -1
    @cython.locals(followed=bint, awaiting=list)
    cpdef commit(self, Py_ssize_t number)
