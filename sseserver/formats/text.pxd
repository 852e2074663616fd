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
