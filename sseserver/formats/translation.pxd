cimport cython

from sseserver.formats.places cimport Place
from sseserver.formats.rendering cimport EntryRendering
from sseserver.interfaces.reading cimport Reading


cdef class TranslatedRendering(EntryRendering):
    cdef object __weakref__
    cdef list _checkpoints
    cdef object _input
    cdef Py_ssize_t _left
    cdef object _make
    cdef dict _places
    cdef Py_ssize_t _void

    cdef bytes _encode(self, Py_ssize_t number)
    cdef Reading _join(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    @cython.locals(place=Place, parts=list, row=list, part=bytes, size=Py_ssize_t, last=Py_ssize_t)
    cdef Reading _translate(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    @cython.locals(first=Py_ssize_t, events=list, texts=list)
    cdef list _writeRow(self, Place place, Py_ssize_t last)
    @cython.locals(start=Py_ssize_t)
    cdef tuple _findRow(self, Py_ssize_t first, Py_ssize_t last)
    @cython.locals(data=bytes, bounds=list, texts=list)
    cdef list _readTexts(self, Place place, int kind, Py_ssize_t first, Py_ssize_t last)
    cdef bytes _write(self, Py_ssize_t number, list events)
    cdef Place _find(self, Py_ssize_t cursor)
    @cython.locals(places=dict)
    cdef _keep(self, Place place)
    @cython.locals(place=Place)
    cdef Place _seek(self, Py_ssize_t cursor)
    @cython.locals(first=Py_ssize_t)
    cdef list _leap(self, Place place, Py_ssize_t last)
    @cython.locals(first=Py_ssize_t, count=Py_ssize_t, text=bytes, texts=list)
    cdef bint _skip(self, Place place, int kind, Py_ssize_t last) except -1
    @cython.locals(number=Py_ssize_t, kind=int, events=list)
    cdef list _step(self, Place place)
    @cython.locals(newest=Place)
    cdef _move(self, Place place, Py_ssize_t at, Py_ssize_t count)
