cimport cython

from sseserver.speedups cimport sending
from sseserver.steps cimport findNext
from sseserver.timing.turnend cimport TurnEnd
from sseserver.wire cimport frames


cdef Py_ssize_t _SMALL
cdef Py_ssize_t _SENDS


cdef class SendBuffer:
    cdef object _transport
    cdef object _socket
    cdef bytes _waiting
    cdef bint _clear
    cdef public bint held

    cpdef bint add(self, bytes data) except -1
    cpdef put(self, bytes data)
    cpdef writeLarge(self, tuple pieces)
    @cython.locals(sent=Py_ssize_t, taken=Py_ssize_t, place=Py_ssize_t, end=Py_ssize_t)
    cpdef Py_ssize_t sendSome(self, bytes data, Py_ssize_t start, bytes before, bytes after) except -1
    @cython.locals(waiting=bytes, sent=Py_ssize_t)
    cpdef flush(self)
    cpdef hold(self)
    cpdef release(self)
    cdef Py_ssize_t _send(self, tuple pieces) except -1
    cdef bint _isClear(self) except -1


cdef class Outbox:
    cdef list _buffers
    cdef TurnEnd _turnEnd
    cdef bytes _framed
    cdef bytes _chunk

    cpdef add(self, SendBuffer buffer)
    cpdef bytes frame(self, bytes data)
    @cython.locals(buffer=SendBuffer, buffers=list, place=Py_ssize_t, room=Py_ssize_t)
    cpdef _flush(self)
    cdef _postpone(self, list buffers)


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
    cpdef cork(self)
    cpdef close(self)
    cdef bint _canBypass(self) except -1
    cdef bint _isShared(self) except -1
    cdef _step(self, step)
    cdef _writeThroughRequest(self, bytes data)
