cimport cython

from sseserver.interfaces.reading cimport Reading, makeReading
from sseserver.streams.buffer cimport EntryBuffer, joinText
from sseserver.streams.log cimport StreamLog


cdef int _TOKEN


@cython.locals(index=Py_ssize_t, size=Py_ssize_t, part=bytes)
cdef Py_ssize_t measure(list parts, Py_ssize_t start) except -1


cdef class EntryRendering:
    cdef StreamLog _log
    cdef EntryBuffer _buffer
    cdef Py_ssize_t _newestAt
    cdef Reading _newest
    cdef bytes _epoch
    cdef dict _memo
    cdef Py_ssize_t _memoBytes
    cdef Py_ssize_t _memoLast
    cdef Py_ssize_t _memoSize

    @cython.locals(last=Py_ssize_t, reading=Reading, found=Reading)
    cpdef Reading read(self, Py_ssize_t cursor, Py_ssize_t maxBytes, bint joined)
    @cython.locals(index=Py_ssize_t)
    cdef Py_ssize_t _index(self, Py_ssize_t number) except -1
    cpdef bytes piece(self, Py_ssize_t number, bytes text, Py_ssize_t index)
    cpdef addPiece(self, Py_ssize_t number, bytes text, Py_ssize_t index, list parts)
    @cython.locals(index=Py_ssize_t, kind=int, data=bytes)
    cdef bytes _encode(self, Py_ssize_t number)
    @cython.locals(buffer=EntryBuffer, final=Py_ssize_t, textual=Py_ssize_t, size=Py_ssize_t, measured=Py_ssize_t, end=Py_ssize_t, first=Py_ssize_t, start=Py_ssize_t, last=Py_ssize_t, tokens=bint, parts=list)
    cdef Reading _join(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    @cython.locals(index=Py_ssize_t, start=Py_ssize_t, size=Py_ssize_t, text=bytes)
    cdef Py_ssize_t _joinRow(self, Py_ssize_t first, Py_ssize_t last, bint tokens, list parts) except -1
    cdef bytes _read(self, Py_ssize_t first, Py_ssize_t last, bint tokens)
    cdef Py_ssize_t _inRow(self, Py_ssize_t start, Py_ssize_t end) except -1
