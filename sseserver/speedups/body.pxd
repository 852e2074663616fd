cimport cython

from sseserver.speedups.sendbuffer cimport SendBuffer
from sseserver.steps cimport findNext
from sseserver.timing.turnend cimport TurnEnd
from sseserver.wire cimport frames


cdef Py_ssize_t _SMALL
cdef Py_ssize_t _SENDS


cdef class Outbox:
    cdef list _buffers
    cdef list _postponed
    cdef TurnEnd _turnEnd
    cdef bytes _framed
    cdef bytes _chunk

    cpdef add(self, SendBuffer buffer)
    cpdef bytes frame(self, bytes data)
    @cython.locals(buffer=SendBuffer, buffers=list, postponed=list, place=Py_ssize_t, room=Py_ssize_t)
    cpdef _flush(self)


cdef class FastBody(SendBuffer):
    cdef public Py_ssize_t written
    cdef object _request
    cdef Outbox _outbox
    cdef object _state
    cdef bint _sending
    cdef bint _chunked

    cpdef begin(self, request, Outbox outbox)
    cpdef write(self, bytes data)
    @cython.locals(end=Py_ssize_t, before=bytes)
    cpdef Py_ssize_t writeSome(self, bytes data, Py_ssize_t start) except -1
    cpdef writeMany(self, list readings, Py_ssize_t start=*)
    cpdef cork(self)
    cpdef close(self)
    cdef bint _canBypass(self) except -1
    cdef bint _isShared(self) except -1
    cdef _step(self, step)
    cdef _writeThroughRequest(self, bytes data)
