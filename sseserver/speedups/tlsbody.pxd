cimport cython

from sseserver.speedups cimport sending
from sseserver.speedups.body cimport FastBody
from sseserver.speedups.tls cimport TLSConnection


cdef Py_ssize_t _PIECE


cdef class TLSBody(FastBody):
    cdef object _connection
    cdef TLSConnection _security

    @cython.locals(waiting=bytes)
    cpdef flush(self)
    cpdef writeLarge(self, tuple pieces)
    @cython.locals(end=Py_ssize_t, text=bytes)
    cpdef Py_ssize_t sendSome(self, bytes data, Py_ssize_t start, bytes before, bytes after) except -1
    @cython.locals(place=Py_ssize_t, before=bytes)
    cpdef sendMany(self, list readings, Py_ssize_t start, bint chunked)
    @cython.locals(sent=Py_ssize_t)
    cpdef sendRecords(self, bytes records)
    cpdef forget(self)
    cdef _sendNow(self, bytes text)
    cdef bint _canWrite(self) except -1
    cdef bint _canBypass(self) except -1
    cdef bint _isClear(self) except -1
