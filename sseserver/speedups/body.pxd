cimport cython

from sseserver.timing.turnend cimport TurnEnd


cdef class Outbox:
    cdef list _bodies
    cdef TurnEnd _turnEnd

    cpdef add(self, Body body)
    @cython.locals(body=Body)
    cpdef _flush(self)


cdef class Body:
    cdef public Py_ssize_t written
    cdef object _request
    cdef Outbox _outbox
    cdef object _candidate
    cdef object _transport
    cdef object _socket
    cdef bint _chunked
    cdef bint _clear
    cdef bint _last
    cdef bytes _waiting

    @cython.locals(framed=bytes)
    cpdef write(self, bytes data)
    @cython.locals(waiting=bytes)
    cpdef flush(self)
    cdef _sendLarge(self, bytes data)
    cdef bint _isClear(self)
    cpdef close(self)
    cpdef hold(self)
    cdef _queue(self, bytes data)


cdef bytes _chunk(bytes data)
