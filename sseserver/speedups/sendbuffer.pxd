cimport cython

from sseserver.speedups cimport sending


cdef Py_ssize_t _SMALL


cdef class SendBuffer:
    cdef object _transport
    cdef object _socket
    cdef bytes _waiting
    cdef bint _clear
    cdef public bint held

    cpdef bint add(self, bytes data) except -1
    cpdef put(self, bytes data)
    cpdef writeLarge(self, tuple pieces)
    @cython.locals(sent=Py_ssize_t)
    cpdef Py_ssize_t sendSome(self, bytes data, Py_ssize_t start, bytes before, bytes after) except -1
    @cython.locals(sent=Py_ssize_t, count=Py_ssize_t, size=Py_ssize_t, place=Py_ssize_t, before=bytes, data=bytes)
    cpdef sendMany(self, list readings, Py_ssize_t start, bint chunked)
    @cython.locals(place=Py_ssize_t)
    cdef Py_ssize_t _leave(self, Py_ssize_t sent, bytes data, Py_ssize_t start, bytes before, bytes after) except -1
    @cython.locals(taken=Py_ssize_t, place=Py_ssize_t, end=Py_ssize_t)
    cdef Py_ssize_t _queueSome(self, Py_ssize_t sent, bytes data, Py_ssize_t start, bytes before, bytes after) except -1
    @cython.locals(waiting=bytes, sent=Py_ssize_t)
    cpdef flush(self)
    cpdef hold(self)
    cpdef release(self)
    cdef Py_ssize_t _send(self, tuple pieces) except -1
    cdef bint _isClear(self) except -1
