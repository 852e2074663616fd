cimport cython

from sseserver.formats.rendering cimport EntryRendering
from sseserver.interfaces.reading cimport Reading


cdef class Place:
    cdef public Py_ssize_t at
    cdef public Py_ssize_t count
    cdef public object translator
    cdef public bint hasBegun
    cdef public list waiting


cdef class TranslatedRendering(EntryRendering):
    cdef object __weakref__
    cdef list _checkpoints
    cdef object _input
    cdef object _make
    cdef dict _places
    cdef Py_ssize_t _void

    cdef bytes _encode(self, Py_ssize_t number)
    cdef Reading _join(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    @cython.locals(place=Place, parts=list, events=list, part=bytes, size=Py_ssize_t, last=Py_ssize_t)
    cdef Reading _translate(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    cdef bytes _write(self, Py_ssize_t number, list events)
    cdef Place _find(self, Py_ssize_t cursor)
    @cython.locals(places=dict)
    cdef _keep(self, Place place)
    @cython.locals(place=Place, left=Py_ssize_t, before=Py_ssize_t)
    cdef Place _seek(self, Py_ssize_t cursor)
    cdef list _leap(self, Place place, Py_ssize_t last)
    @cython.locals(number=Py_ssize_t, kind=int, events=list)
    cdef list _step(self, Place place)
    cdef _move(self, Place place, Py_ssize_t at, Py_ssize_t count)
