cimport cython

from sseserver.wire cimport frames


cdef class TextFrame:
    cdef bytes _before
    cdef bytes _behind
    cdef Py_ssize_t _many
    cdef Py_ssize_t _size
    cdef Py_ssize_t _tries

    @cython.locals(before=bytes, start=Py_ssize_t, length=Py_ssize_t, size=Py_ssize_t, text=bytes)
    cpdef bytes find(self, bytes data)
    @cython.locals(found=Py_ssize_t, many=Py_ssize_t, texts=list)
    cpdef list findAll(self, bytes data, list bounds)
