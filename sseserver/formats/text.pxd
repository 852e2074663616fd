cimport cython

from sseserver.streams.buffer cimport EntryBuffer
from sseserver.streams.log cimport StreamLog


cdef class _TextRendering:
    cdef bint _cr
    cdef bytes _epoch
    cdef bytes _event
    cdef bytearray _lines
    cdef StreamLog _log
    cdef EntryBuffer _buffer
    cdef object _over
    cdef Py_ssize_t _seen
    cdef Py_ssize_t _size
    cdef Py_ssize_t _textAt

    @cython.locals(size=Py_ssize_t, left=Py_ssize_t)
    cdef _grow(self)
    @cython.locals(last=Py_ssize_t)
    cdef _readOn(self, Py_ssize_t number)
    cdef Py_ssize_t _endRow(self, Py_ssize_t number) except -1
    cdef Py_ssize_t _fitText(self, Py_ssize_t number, Py_ssize_t last) except -1
