cimport cython

from sseserver.formats.places cimport Place
from sseserver.formats.rendering cimport EntryRendering
from sseserver.formats.translatedlog cimport TranslatedLog
from sseserver.interfaces.reading cimport Reading


cdef class TranslatedRendering(EntryRendering):
    cdef object __weakref__
    cdef Place _place
    cdef dict _places
    cdef TranslatedLog _translated

    cdef bytes _encode(self, Py_ssize_t number)
    cdef Reading _join(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    @cython.locals(place=Place, parts=list, row=list, part=bytes, size=Py_ssize_t, last=Py_ssize_t, number=Py_ssize_t)
    cdef Reading _translate(self, Py_ssize_t cursor, Py_ssize_t maxBytes)
    @cython.locals(first=Py_ssize_t, events=list, texts=list)
    cdef list _writeRow(self, Place place, Py_ssize_t last)
    cdef bytes _write(self, Py_ssize_t number, list events)
    cdef Place _find(self, Py_ssize_t cursor)
    @cython.locals(place=Place)
    cdef Place _take(self, Py_ssize_t cursor)
    @cython.locals(before=Place, places=dict)
    cdef _keep(self, Place place)
