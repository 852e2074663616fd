cimport cython

from sseserver.formats.places cimport Place
from sseserver.streams.buffer cimport EntryBuffer
from sseserver.streams.log cimport StreamLog


cdef class TranslatedLog:
    cdef StreamLog _log
    cdef EntryBuffer _buffer
    cdef list _checkpoints
    cdef object _input
    cdef Py_ssize_t _left
    cdef object _make
    cdef bint _readsInput
    cdef bint _takesTexts
    cdef bytes _unread
    cdef public Py_ssize_t void

    @cython.locals(place=Place)
    cdef Place find(self, Py_ssize_t cursor)
    @cython.locals(place=Place, events=list)
    cdef tuple findEvent(self, Py_ssize_t event)
    @cython.locals(number=Py_ssize_t, kind=int, events=list)
    cdef list step(self, Place place)
    @cython.locals(newest=Place)
    cdef move(self, Place place, Py_ssize_t at, Py_ssize_t count)
    @cython.locals(start=Py_ssize_t)
    cdef tuple findRow(self, Py_ssize_t first, Py_ssize_t last)
    @cython.locals(data=bytes, bounds=list, texts=list)
    cdef list readTexts(self, Place place, int kind, Py_ssize_t first, Py_ssize_t last)
    @cython.locals(first=Py_ssize_t)
    cdef list _leap(self, Place place, Py_ssize_t last)
    @cython.locals(first=Py_ssize_t, count=Py_ssize_t, text=bytes, texts=list)
    cdef bint _skip(self, Place place, int kind, Py_ssize_t last) except -1
    @cython.locals(missed=Py_ssize_t)
    cdef _require(self, Py_ssize_t number)
