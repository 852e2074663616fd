cimport cython


cdef class TextFrame:
    cdef bytes _before
    cdef bytes _behind
    cdef Py_ssize_t _many
    cdef Py_ssize_t _size
    cdef Py_ssize_t _tries

    @cython.locals(before=bytes, start=Py_ssize_t, length=Py_ssize_t, size=Py_ssize_t, text=bytes)
    cpdef bytes find(self, bytes data)
    @cython.locals(before=bytes, behind=bytes, end=Py_ssize_t, found=Py_ssize_t, length=Py_ssize_t, many=Py_ssize_t, size=Py_ssize_t, start=Py_ssize_t, text=bytes, texts=list)
    cpdef list findAll(self, bytes data, list bounds)
